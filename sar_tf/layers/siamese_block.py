"""A transformer block that two sequences pass through, each reading the other."""

from typing import Any

import keras
from keras import ops

from sar_tf.layers.block import Block
from sar_tf.layers.masked_attention import MaskedAttention


@keras.saving.register_keras_serializable("sar_tf")
class SiameseBlock(Block):
    """Block of UnifiedSSR: a sequence attends to itself, then to another sequence.

        x = x + Dropout(MH(LN(x), LN(x)))
        x = x + Dropout(MH(LN(x), other))            `other` is not normalized
        x = x + Dropout(W_2 Dropout(ReLU(W_1 LN(x) + b_1)) + b_2)

    The same weights serve both sequences of a pair, and a sequence that has no partner
    and is its own.

    Args:
        num_heads: number of attention heads.
        inner_units: width of the feed-forward network's hidden layer.
        dropout: rate on attention weights, the hidden layer and each sublayer's output.
        is_causal: whether a slot sees only itself and earlier slots, in both
            sequences, whose slots are then of the same times.
        epsilon: epsilon of the layer normalization.

    Call arguments:
        x: `(B, N, D)`.
        mask: bool `(B, N)`, true where a slot holds something.
        other: `(B, M, D)`.
        other_mask: bool `(B, M)`.

    Returns:
        `(B, N, D)`. Empty slots get a vector too, which no other slot sees.

    Example:

    >>> import numpy as np
    >>> block = SiameseBlock(num_heads=2, inner_units=16)
    >>> x, mask = np.ones((4, 6, 8), "float32"), np.ones((4, 6), bool)
    >>> tuple(block(x, mask, x, mask).shape)
    (4, 6, 8)

    Reference:
        [Xie et al., 2024](https://arxiv.org/abs/2310.13921)
    """

    def __init__(
        self,
        num_heads: int,
        inner_units: int,
        dropout: float = 0.0,
        is_causal: bool = False,
        epsilon: float = 1e-6,
        **kwargs,
    ) -> None:
        super().__init__(inner_units, dropout, epsilon, False, **kwargs)
        self.num_heads = num_heads
        self.is_causal = is_causal
        self.self_norm = self._norm("self_norm", epsilon)
        self.self_attention = self._attention("self_attention")
        self.cross_norm = self._norm("cross_norm", epsilon)
        self.cross_attention = self._attention("cross_attention")

    def _attention(self, name):
        return MaskedAttention(
            self.num_heads,
            self.dropout_rate,
            is_causal=self.is_causal,
            name=name,
            dtype=self.dtype_policy,
        )

    def build(self, x_shape, mask_shape=None, other_shape=None, other_mask_shape=None):
        super().build(x_shape)
        self.self_norm.build(x_shape)
        self.self_attention.build(x_shape, x_shape)
        self.cross_norm.build(x_shape)
        self.cross_attention.build(x_shape, other_shape)

    def call(
        self,
        x: Any,
        mask: Any,
        other: Any,
        other_mask: Any,
        training: bool | None = None,
    ) -> Any:
        own = self.self_norm(x)
        update = self.self_attention(own, own, mask, training=training)
        x = x + self.dropout(update, training=training)
        update = self.cross_attention(
            self.cross_norm(x), other, other_mask, training=training
        )
        x = x + self.dropout(update, training=training)
        hidden = ops.relu(self.feed_forward_in(self.feed_forward_norm(x)))
        hidden = self.dropout(hidden, training=training)
        update = self.feed_forward_out(hidden)
        return x + self.dropout(update, training=training)

    def compute_output_shape(
        self, x_shape, mask_shape=None, other_shape=None, other_mask_shape=None
    ):
        return x_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "is_causal": self.is_causal,
        }
