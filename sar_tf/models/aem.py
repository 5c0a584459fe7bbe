"""AEM: the query asks the items of the user's history who the user is."""

from typing import Literal

from keras import ops

from sar_tf.layers.masked_attention import MaskedAttention
from sar_tf.layers.query_attention import QueryAttention
from sar_tf.models.registry import register
from sar_tf.models.search_model import HistorySearchModel
from sar_tf.settings import Few

Attention = Literal["additive", "multihead"]


@register("aem")
class AEM(HistorySearchModel):
    """AEM, for personalized search: the user is an attention over past items.

        f(q, h) = W_h^T (tanh(W_f q + b_f) h), W_f: D -> (num_queries, D)
        u = sum_j softmax_j(f(q, h_j)) h_j
        M = q + u, score = <M, e(candidate)>

    With attention="multihead", which a later implementation has, u is multi-head
    attention of q to the items, and M = (q + u) / 2. An empty history has u = 0.

    Args:
        spec, tables, tasks, …: As `SearchModel`.
        history: What the items are, those clicked in searches ("search"), clicked
            recommendations ("rec") or both of them by time.
        attention: Kind of attention.
        num_queries: Queries that q is made to, with attention="additive".
        num_heads: Attention heads, a divisor of D, with attention="multihead".

    Reference:
        [Ai et al., 2019](https://doi.org/10.1145/3357384.3357980)
    """

    attends_to_nothing = False

    def __init__(
        self,
        spec,
        tables=None,
        *,
        attention: Attention = "additive",
        num_queries: Few = 8,
        num_heads: Few = 8,
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)
        self.is_additive = attention == "additive"
        if self.is_additive:
            self.attention = QueryAttention(
                num_queries, self.attends_to_nothing, name="attention"
            )
        else:
            # The zero vector is a zero key and value only without biases.
            self.attention = MaskedAttention(
                num_heads, use_bias=not self.attends_to_nothing, name="attention"
            )

    def intent(self, task, encoded, target, training):
        query, items, mask = target["query"], encoded["items"], encoded["mask"]
        if self.is_additive:
            return query + self.attention(query, items, mask)[0]
        has_items = ops.any(mask, axis=1, keepdims=True)
        if self.attends_to_nothing:
            items = ops.pad(items, ((0, 0), (1, 0), (0, 0)))
            mask = ops.pad(mask, ((0, 0), (1, 0)), constant_values=True)
        user = self.attention(query[:, None], items, mask, training=training)[:, 0]
        return 0.5 * (query + user * ops.cast(has_items, user.dtype))
