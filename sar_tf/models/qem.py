"""QEM: product search by query and item alone."""

from sar_tf.models.registry import register
from sar_tf.models.search_model import SearchModel


@register("qem")
class QEM(SearchModel):
    """QEM, for search without personalization.

        q = tanh(W mean(word vectors) + b), score = <q, e(candidate)>

    The original has the text loss too (`text_weight`, `original_loss`).

    Args:
        spec, tables, tasks, …: As `SearchModel`.

    Reference:
        [Ai et al., 2019](https://doi.org/10.1145/3357384.3357980), who compare with it
    """

    def intent(self, task, encoded, target, training):
        return target["query"]
