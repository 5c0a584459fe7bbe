"""A transformer layer over sets, of which single members can be encoded alone."""

from typing import Any

import keras
from keras import ops

from sar_tf.layers.masking import mask_bias, softmax
from sar_tf.layers.multi_head import MultiHead


@keras.saving.register_keras_serializable("sar_tf")
class SetEncoder(MultiHead):
    """Encoder layer of USER: attention and a feed-forward network, without positions.

        a = LN(x + Dropout(MH(x, set)))
        y = LN(a + Dropout(W_2 ReLU(W_1 a + b_1) + b_2))

    A member's output depends only on the members that it sees. So outputs that nobody
    reads need not be computed.

    Args:
        num_heads: number of attention heads, a divisor of the width D.
        inner_units: width of the feed-forward network's hidden layer.
        dropout: rate on attention weights and on each sublayer's output.
        epsilon: epsilon of the layer normalization.

    Call arguments:
        x: `(B, M, D)`, the members whose outputs are computed.
        members: `(B, N, D)`, the members that x can see.
        mask: bool `(B, N)`, or `(B, M, N)` where each of x sees others.
        joins: whether each of x also sees itself, as one more member. Else it is to be
            among the members.

    Returns:
        `(B, M, D)`.

    Example:

    >>> import numpy as np
    >>> encoder = SetEncoder(num_heads=2, inner_units=16)
    >>> x, mask = np.ones((4, 6, 8), "float32"), np.ones((4, 6), bool)
    >>> tuple(encoder(x, x, mask).shape)
    (4, 6, 8)
    >>> tuple(encoder(x[:, :1], x, mask, joins=True).shape)
    (4, 1, 8)

    Reference:
        [Yao et al., 2021](https://doi.org/10.1145/3459637.3482489)
    """

    def __init__(
        self,
        num_heads: int,
        inner_units: int,
        dropout: float = 0.0,
        epsilon: float = 1e-6,
        **kwargs,
    ) -> None:
        super().__init__(num_heads, dropout, **kwargs)
        self.inner_units = inner_units
        self.epsilon = epsilon

    def build(self, x_shape, members_shape=None, mask_shape=None):
        width = x_shape[-1]
        self._check_width(width)
        self.query_dense = self._dense(width, "query", width)
        self.key_dense = self._dense(width, "key", width)
        self.value_dense = self._dense(width, "value", width)
        self.output_dense = self._dense(width, "output", width)
        self.attention_norm = self._norm("attention_norm", self.epsilon, width)
        self.feed_forward_in = self._dense(self.inner_units, "feed_forward_in", width)
        self.feed_forward_out = self._dense(width, "feed_forward_out", self.inner_units)
        self.feed_forward_norm = self._norm("feed_forward_norm", self.epsilon, width)

    def call(
        self,
        x: Any,
        members: Any,
        mask: Any,
        joins: bool = False,
        training: bool | None = None,
    ) -> Any:
        update = self.output_dense(self._attend(x, members, mask, joins, training))
        x = self.attention_norm(x + self.dropout(update, training=training))
        update = self.feed_forward_out(ops.relu(self.feed_forward_in(x)))
        return self.feed_forward_norm(x + self.dropout(update, training=training))

    def _attend(self, x, members, mask, joins, training):
        q = self._split_heads(self.query_dense(x))
        k = self._split_heads(self.key_dense(members))
        v = self._split_heads(self.value_dense(members))
        scale = q.shape[-1] ** -0.5
        logits = ops.matmul(q, ops.swapaxes(k, -1, -2)) * scale
        seen = mask if len(mask.shape) == 3 else mask[:, None, :]
        hidden = mask_bias(seen)
        logits = ops.cast(logits, "float32") + hidden[:, None]
        if joins:
            own_k = self._split_heads(self.key_dense(x))
            own = ops.sum(q * own_k, axis=-1, keepdims=True) * scale
            logits = ops.concatenate([logits, ops.cast(own, "float32")], axis=-1)
        weights = self.dropout(ops.cast(softmax(logits), v.dtype), training=training)
        if joins:
            own_v = self._split_heads(self.value_dense(x))
            context = ops.matmul(weights[..., :-1], v) + weights[..., -1:] * own_v
        else:
            context = ops.matmul(weights, v)
        return ops.reshape(ops.transpose(context, (0, 2, 1, 3)), ops.shape(x))

    def compute_output_shape(self, x_shape, members_shape=None, mask_shape=None):
        return x_shape

    def get_config(self):
        return {
            **super().get_config(),
            "inner_units": self.inner_units,
            "epsilon": self.epsilon,
        }
