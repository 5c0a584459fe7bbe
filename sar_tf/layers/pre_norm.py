"""A transformer block that normalizes before each sublayer, and fixed positions."""

from typing import Any

import keras
import numpy as np
from keras import ops

from sar_tf.layers.block import Block
from sar_tf.layers.masked_attention import MaskedAttention


def sinusoids(length: int, units: int) -> np.ndarray:
    """Fixed vectors of positions 0, 1, …: float32 `(length, units)`.

    `PE(p, 2k) = sin(p / 10000^(2k / units))`, `PE(p, 2k + 1)` is the cosine of the
    same ([Vaswani et al., 2017](https://arxiv.org/abs/1706.03762)).

    Args:
        length: Number of positions.
        units: Width.
    """
    channel = np.arange(units)
    angles = np.arange(length)[:, None] / 1e4 ** (channel // 2 * 2 / units)
    return np.where(channel % 2, np.cos(angles), np.sin(angles)).astype("float32")


@keras.saving.register_keras_serializable("sar_tf")
class PreNormBlock(Block):
    """Block of TEM: each slot attends to all slots that hold something.

        X = X + Dropout(MH(X'))         X' = LN(X), or X in the first block
        X = X + Dropout(W_2 Dropout(GELU(W_1 LN(X) + b_1)) + b_2)

    Args:
        num_heads: number of attention heads.
        inner_units: width of the feed-forward network's hidden layer.
        dropout: rate on attention weights, the hidden layer and each sublayer's output.
        normalizes_input: whether the attention reads LN(X).
        epsilon: epsilon of the layer normalization.

    Call arguments:
        x: `(B, N, D)`.
        mask: bool `(B, N)`, true where a slot holds something.
        first_only: whether to compute only the first slot.

    Returns:
        `(B, N, D)`; with `first_only`, `(B, 1, D)`. Empty slots get a vector too, which
        no other slot sees.

    Example:

    >>> import numpy as np
    >>> block = PreNormBlock(num_heads=2, inner_units=16)
    >>> tuple(block(np.ones((4, 6, 8), "float32"), np.ones((4, 6), bool)).shape)
    (4, 6, 8)

    Reference:
        [Bi et al., 2020](https://doi.org/10.1145/3397271.3401192)
    """

    def __init__(
        self,
        num_heads: int,
        inner_units: int,
        dropout: float = 0.0,
        normalizes_input: bool = True,
        epsilon: float = 1e-6,
        **kwargs,
    ) -> None:
        super().__init__(inner_units, dropout, epsilon, normalizes_input, **kwargs)
        self.num_heads = num_heads
        self.normalizes_input = normalizes_input
        self.attention = MaskedAttention(
            num_heads, dropout, name="attention", dtype=self.dtype_policy
        )

    def build(self, x_shape, mask_shape=None):
        super().build(x_shape)
        self.attention.build(x_shape, x_shape)

    def call(
        self, x: Any, mask: Any, first_only: bool = False, training: bool | None = None
    ) -> Any:
        keys = x if self.mix_norm is None else self.mix_norm(x)
        queries = keys[:, :1] if first_only else keys
        x = x[:, :1] if first_only else x
        mixed = self.attention(queries, keys, mask, training=training)
        x = x + self.dropout(mixed, training=training)
        hidden = ops.gelu(self.feed_forward_in(self.feed_forward_norm(x)))
        update = self.feed_forward_out(self.dropout(hidden, training=training))
        return x + self.dropout(update, training=training)

    def compute_output_shape(self, x_shape, mask_shape=None, first_only=False):
        return (x_shape[0], 1, x_shape[2]) if first_only else x_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "normalizes_input": self.normalizes_input,
        }
