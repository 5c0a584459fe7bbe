"""ZAM: the attention of AEM, which may also attend to nothing."""

from sar_tf.models.aem import AEM
from sar_tf.models.registry import register


@register("zam")
class ZAM(AEM):
    """ZAM, for personalized search: the query decides how much to personalize.

        u = sum_j exp(f(q, h_j)) h_j / (1 + sum_j exp(f(q, h_j)))
        M = q + u, score = <M, e(candidate)>

    with the attention f of `AEM`. The 1 is that of the zero vector, to which the query
    may attend instead of an item. An empty history has u = 0.

    Args:
        spec, tables, tasks, …: As `AEM`.

    Reference:
        [Ai et al., 2019](https://doi.org/10.1145/3357384.3357980)
    """

    attends_to_nothing = True
