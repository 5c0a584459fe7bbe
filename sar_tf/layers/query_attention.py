"""Attention that a query pays to the items of a history, or to nothing."""

from typing import Any

import keras
from keras import ops

from sar_tf.layers.composite import Composite
from sar_tf.layers.masking import masked_softmax


@keras.saving.register_keras_serializable("sar_tf")
class QueryAttention(Composite):
    """The attention of AEM, and with a zero vector among its keys that of ZAM.

        f(q, h) = W_h^T (tanh(W_f q + b_f) h)        W_f: D -> (num_queries, D)
        weight_j = exp(f(q, h_j)) / (Z + sum_j exp(f(q, h_j))),  u = sum_j weight_j h_j

    Z is 0 in AEM. In ZAM it is exp(f(q, 0)) = 1, so that the weights add up to less
    than 1, the share of personalization:
    `u_ZAM = sigmoid(log sum_j exp(f(q, h_j))) · u_AEM`.

    Args:
        num_queries: queries that q is made to, each of width D.
        attends_to_nothing: whether the zero vector is among the keys.

    Call arguments:
        query: `(B, D)`.
        items: `(B, N, D)`.
        mask: bool `(B, N)`, true where a slot holds an item.

    Returns:
        u `(B, D)` and the weights, float32 `(B, N)`; both are 0 where a history is
        empty.

    Example:

    >>> import numpy as np
    >>> attention = QueryAttention(num_queries=2)
    >>> items, mask = np.ones((4, 6, 8), "float32"), np.ones((4, 6), bool)
    >>> u, weights = attention(np.ones((4, 8), "float32"), items, mask)
    >>> tuple(u.shape), tuple(weights.shape)
    ((4, 8), (4, 6))

    Reference:
        [Ai et al., 2019](https://doi.org/10.1145/3357384.3357980)
    """

    def __init__(
        self, num_queries: int, attends_to_nothing: bool = False, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.num_queries = num_queries
        self.attends_to_nothing = attends_to_nothing

    def build(self, query_shape, items_shape=None, mask_shape=None):
        width = query_shape[-1]
        self.queries = self._dense(
            self.num_queries * width, "queries", width, activation="tanh"
        )
        self.mix = self.add_weight(
            name="mix", shape=(self.num_queries, 1), initializer="glorot_normal"
        )

    def call(self, query: Any, items: Any, mask: Any) -> tuple[Any, Any]:
        size, width = ops.shape(query)
        queries = ops.reshape(self.queries(query), (size, self.num_queries, width))
        # The products with an item are mixed after all: so the queries can be.
        asked = ops.sum(queries * self.mix, axis=1)
        logits = ops.cast(ops.einsum("bd,bnd->bn", asked, items), "float32")
        if self.attends_to_nothing:
            logits = ops.pad(logits, ((0, 0), (1, 0)))
            known = ops.pad(mask, ((0, 0), (1, 0)), constant_values=True)
            weights = masked_softmax(logits, known)[:, 1:]
        else:
            weights = masked_softmax(logits, mask)
        return ops.einsum("bn,bnd->bd", ops.cast(weights, items.dtype), items), weights

    def compute_output_shape(self, query_shape, items_shape=None, mask_shape=None):
        return query_shape, items_shape[:2]

    def get_config(self):
        return {
            **super().get_config(),
            "num_queries": self.num_queries,
            "attends_to_nothing": self.attends_to_nothing,
        }
