"""SASRec's block: causal self-attention and a feed-forward network."""

from typing import Any

import keras
from keras import ops

from sar_tf.layers.composite import Composite
from sar_tf.layers.dropout import Dropout
from sar_tf.layers.masking import future_bias, key_mask_bias, softmax
from sar_tf.layers.multi_head import MultiHead
from sar_tf.layers.recency import newest


@keras.saving.register_keras_serializable("sar_tf")
class CausalAttention(MultiHead):
    """Multi-head attention in which a query sees its own slot and earlier ones.

    `softmax(Q K^T / sqrt(D / h)) V` for each of the h heads, concatenated; there is
    no output projection. A query that sees no behavior gets the zero vector.

    Args:
        num_heads: number of heads h, a divisor of the width D.
        dropout: rate on the attention weights.

    Call arguments:
        queries: `(B, Nq, D)`, queries of the last Nq slots. With Nq = 1 the query
            sees all keys.
        keys: `(B, N, D)`, also the values.
        key_mask: bool `(B, N)`, true where a slot holds a behavior.

    Returns:
        `(B, Nq, D)`.

    Reference:
        [Kang and McAuley, 2018](https://arxiv.org/abs/1808.09781)
    """

    def __init__(self, num_heads: int = 1, dropout: float = 0.0, **kwargs) -> None:
        super().__init__(num_heads, dropout, **kwargs)

    def build(self, queries_shape, keys_shape=None, key_mask_shape=None):
        width = queries_shape[-1]
        self._check_width(width)
        self.query_dense = self._dense(width, "query", width)
        self.key_dense = self._dense(width, "key", width)
        self.value_dense = self._dense(width, "value", width)

    def call(
        self, queries: Any, keys: Any, key_mask: Any, training: bool | None = None
    ) -> Any:
        q = self._split_heads(self.query_dense(queries))
        k = self._split_heads(self.key_dense(keys))
        v = self.value_dense(keys)
        # Empty slots have zero values: a query that sees only them gets zeros.
        v = self._split_heads(v * ops.expand_dims(ops.cast(key_mask, v.dtype), -1))
        logits = ops.matmul(q, ops.swapaxes(k, -1, -2)) * q.shape[-1] ** -0.5
        logits = ops.cast(logits, "float32") + key_mask_bias(key_mask)
        logits = logits + future_bias(ops.shape(logits)[-2], ops.shape(logits)[-1])
        weights = self.dropout(ops.cast(softmax(logits), v.dtype), training=training)
        context = ops.transpose(ops.matmul(weights, v), (0, 2, 1, 3))
        return ops.reshape(context, ops.shape(queries))


@keras.saving.register_keras_serializable("sar_tf")
class CausalBlock(Composite):
    """Block of SASRec: causal attention, then a feed-forward network of width D.

        Q = LN(X)
        A = Attention(Q, X, X) + Q
        Y = LN(A)
        X' = (Y + Dropout(W_2 Dropout(ReLU(W_1 Y + b_1)) + b_2)) · mask

    As in the authors' code, keys and values are not normalised, and the residual adds
    the normalised queries. The variant "query_seqrec" is the block of Query-SeqRec's
    code:

        Y = LN(Attention(Q, X, X))
        X' = (2 Y + Dropout(W_2 Dropout(ReLU(W_1 Y + b_1)) + b_2)) · mask

    Args:
        num_heads: number of attention heads.
        dropout: rate on attention weights and in the feed-forward network.
        variant: "sasrec" or "query_seqrec".
        epsilon: epsilon of the layer normalization.

    Call arguments:
        x: `(B, N, D)`, oldest first.
        mask: bool `(B, N)`, true where a slot holds a behavior.
        newest_only: whether to compute only the newest behavior's vector, as the
            last block of a model does.

    Returns:
        `(B, N, D)`, 0 in empty slots; with `newest_only`, `(B, D)`, 0 where a history
        is empty.

    Example:

    >>> import numpy as np
    >>> block = CausalBlock(num_heads=2)
    >>> x, mask = np.ones((4, 6, 8), "float32"), np.ones((4, 6), bool)
    >>> tuple(block(x, mask).shape)
    (4, 6, 8)
    >>> tuple(block(x, mask, newest_only=True).shape)
    (4, 8)

    Reference:
        [Kang and McAuley, 2018](https://arxiv.org/abs/1808.09781)
    """

    def __init__(
        self,
        num_heads: int = 1,
        dropout: float = 0.0,
        epsilon: float = 1e-8,
        variant: str = "sasrec",
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if variant not in ("sasrec", "query_seqrec"):
            raise ValueError(
                f"variant must be 'sasrec' or 'query_seqrec', not {variant!r}"
            )
        self.variant = variant
        self.num_heads = num_heads
        self.dropout_rate = dropout
        self.epsilon = epsilon
        self.attention = CausalAttention(
            num_heads, dropout, name="attention", dtype=self.dtype_policy
        )
        self.query_norm = self._norm("query_norm", epsilon)
        self.feed_forward_norm = self._norm("feed_forward_norm", epsilon)
        self.dropout = Dropout(dropout, name="dropout", dtype=self.dtype_policy)

    def build(self, x_shape, mask_shape=None):
        width = x_shape[-1]
        self.query_norm.build(x_shape)
        self.attention.build(x_shape, x_shape)
        self.feed_forward_norm.build(x_shape)
        self.feed_forward_in = self._dense(
            width, "feed_forward_in", width, activation="relu"
        )
        self.feed_forward_out = self._dense(width, "feed_forward_out", width)

    def call(
        self, x: Any, mask: Any, newest_only: bool = False, training: bool | None = None
    ) -> Any:
        last = newest(x, mask)[:, None] if newest_only else x
        queries = self.query_norm(last)
        x = self.attention(queries, x, mask, training=training)
        if self.variant == "sasrec":
            x = x + queries
        x = self.feed_forward_norm(x)
        hidden = self.dropout(self.feed_forward_in(x), training=training)
        update = self.dropout(self.feed_forward_out(hidden), training=training)
        x = x + update if self.variant == "sasrec" else 2 * x + update
        if newest_only:
            x, mask = x[:, 0], ops.any(mask, axis=1)
        return x * ops.expand_dims(ops.cast(mask, x.dtype), -1)

    def compute_output_shape(self, x_shape, mask_shape=None, newest_only=False):
        return (x_shape[0], x_shape[2]) if newest_only else x_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "dropout": self.dropout_rate,
            "epsilon": self.epsilon,
            "variant": self.variant,
        }
