"""Attention of a node to its neighbors in a graph, steered by what is asked."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from sar_tf.layers.composite import Composite
from sar_tf.layers.dropout import Dropout
from sar_tf.layers.masking import masked_softmax

_EPSILON = 1e-9


@keras.saving.register_keras_serializable("sar_tf")
class IntentAttention(Composite):
    """Aggregates a node's neighbors for a target (SRJGraph).

        y = W [target ; own]
        logit_k = LN(W_Q y) . LN(W_K (x_k + p_k)) / sqrt(D),  x_0 = own
        r = sum_k softmax_k(logit_k) x_k,  result = LN(r + W_f r + b_f)

    over the node itself and its neighbors x_1 .. x_K in their order, with learned
    positions p_k. Values have neither a position nor a projection. A neighbor comes as
    three parts, `x = [a ; b ; c]`, so that what is the same for all neighbors is
    projected once.

    Args:
        max_neighbors: most neighbors of a node.
        dropout: rate on `W_f r + b_f`.

    Call arguments:
        target: `(G, Q, D)`, what is asked: Q questions to one node.
        own: `(G, Q, D)`, the node itself in each question.
        neighbors: three parts `(G, K, D / 3)`, or `(G, 1, D / 3)` where all neighbors
            have the same.
        mask: bool `(G, K)`, true where there is a neighbor; `(G, Q, K)` where the
            questions do not have the same neighbors.
        training: whether dropout is applied.

    Returns:
        `(G, Q, D)`.

    Example:

    >>> import numpy as np
    >>> attention = IntentAttention(max_neighbors=5)
    >>> own, part = np.ones((2, 4, 6), "float32"), np.ones((2, 5, 2), "float32")
    >>> tuple(attention(own, own, [part] * 3, np.ones((2, 5), bool)).shape)
    (2, 4, 6)

    Reference:
        [Zhao et al., 2022](https://doi.org/10.1145/3488560.3498414)
    """

    def __init__(self, max_neighbors: int, dropout: float = 0.0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.max_neighbors = max_neighbors
        self.dropout_rate = dropout
        self.dropout = Dropout(dropout, name="dropout", dtype=self.dtype_policy)

    def build(
        self, target_shape, own_shape=None, neighbors_shape=None, mask_shape=None
    ):
        width = target_shape[-1]
        self.question = self._dense(width, "question", 2 * width, use_bias=False)
        self.query = self._dense(width, "query", width, use_bias=False)
        self.key_kernel = self.add_weight(
            name="key_kernel", shape=(width, width), initializer="glorot_normal"
        )
        self.positions = self.add_weight(
            name="positions",
            shape=(self.max_neighbors + 1, width),
            initializer="glorot_normal",
        )
        self.linear = self._dense(width, "linear", width)
        self.query_norm, self.key_norm, self.result_norm = (
            self._norm(name, _EPSILON, width)
            for name in ("query_norm", "key_norm", "result_norm")
        )

    def call(
        self,
        target: Any,
        own: Any,
        neighbors: Sequence[Any],
        mask: Any,
        training: bool = False,
    ) -> Any:
        width = own.shape[-1]
        y = self.question(ops.concatenate([target, own], axis=-1))
        query = self.query_norm(self.query(y))
        own_key = self.key_norm(ops.matmul(own + self.positions[0], self.key_kernel))
        logits = ops.concatenate(
            [
                ops.sum(query * own_key, axis=-1, keepdims=True),
                self._logits(query, self._project(neighbors)),
            ],
            axis=-1,
        )
        logits = ops.cast(logits, "float32") * width**-0.5
        if len(mask.shape) == 2:
            mask = mask[:, None, :]
        known = ops.pad(mask, ((0, 0), (0, 0), (1, 0)), constant_values=True)
        weights = ops.cast(masked_softmax(logits, known), own.dtype)
        r = weights[..., :1] * own + self._pool(weights[..., 1:], neighbors)
        update = self.dropout(self.linear(r), training=training)
        return self.result_norm(r + update)

    def _logits(self, query, keys):
        """`query . LN(keys)`, `(G, Q, K)`, without the normalized keys in memory."""
        scaled = query * ops.cast(self.key_norm.gamma, query.dtype)
        products = ops.cast(ops.matmul(scaled, ops.swapaxes(keys, -1, -2)), "float32")
        keys = ops.cast(keys, "float32")
        mean = ops.mean(keys, axis=-1)
        variance = ops.mean(ops.square(keys), axis=-1) - ops.square(mean)
        scale = ops.rsqrt(ops.maximum(variance, 0.0) + _EPSILON)[:, None, :]
        total = ops.sum(ops.cast(scaled, "float32"), axis=-1, keepdims=True)
        beta = ops.cast(self.key_norm.beta, query.dtype)
        shift = ops.sum(query * beta, axis=-1, keepdims=True)
        logits = (products - total * mean[:, None, :]) * scale
        return ops.cast(logits + ops.cast(shift, "float32"), query.dtype)

    def _project(self, neighbors):
        """`W_K (x_k + p_k)`: `(G, K, D)`."""
        kernels = ops.split(self.key_kernel, 3, axis=0)
        count = max(part.shape[1] for part in neighbors)
        projected = ops.matmul(self.positions[1 : 1 + count], self.key_kernel)
        for part, kernel in zip(neighbors, kernels, strict=True):
            projected = projected + ops.matmul(part, kernel)
        return projected

    def _pool(self, weights, neighbors):
        total = ops.sum(weights, axis=-1, keepdims=True)
        return ops.concatenate(
            [
                ops.matmul(total if part.shape[1] == 1 else weights, part)
                for part in neighbors
            ],
            axis=-1,
        )

    def compute_output_shape(
        self, target_shape, own_shape, neighbors_shape, mask_shape
    ):
        return target_shape

    def get_config(self):
        return {
            **super().get_config(),
            "max_neighbors": self.max_neighbors,
            "dropout": self.dropout_rate,
        }
