"""Blocks that normalise after each sublayer: attention or a filter, then a network."""

from typing import Any

import keras
from keras import ops

from sar_tf.layers.block import Block
from sar_tf.layers.frequency_filter import FrequencyFilter
from sar_tf.layers.masked_attention import MaskedAttention


class _PostNormBlock(Block):
    """`A = LN(X + Dropout(mix(X)))`, `LN(A + Dropout(W_2 GELU(W_1 A + b_1) + b_2))`.

    A subclass mixes the slots.
    """

    def _add(self, x, mixed, training):
        """What follows the mixing of the slots: `(B, Nq, D)`."""
        x = self.mix_norm(x + self.dropout(mixed, training=training))
        hidden = ops.gelu(self.feed_forward_in(x), approximate=False)
        update = self.dropout(self.feed_forward_out(hidden), training=training)
        return self.feed_forward_norm(x + update)


@keras.saving.register_keras_serializable("sar_tf")
class BidirectionalBlock(_PostNormBlock):
    """Block of BERT4Rec: each slot attends to all slots that hold something.

    Args:
        num_heads: number of attention heads.
        inner_units: width of the feed-forward network's hidden layer.
        dropout: rate on attention weights and on each sublayer's output.
        epsilon: epsilon of the layer normalization.
        is_causal: whether a slot sees only itself and earlier ones; one query alone
            sees all.

    Call arguments:
        x: `(B, N, D)`.
        mask: bool `(B, N)`, true where a slot holds something.
        queries: `(B, Nq, D)`, the slots to compute, some of x; None is all.

    Returns:
        `(B, N, D)`, or `(B, Nq, D)`. Empty slots get a vector too, which no other slot
        sees.

    Example:

    >>> import numpy as np
    >>> block = BidirectionalBlock(num_heads=2, inner_units=16)
    >>> tuple(block(np.ones((4, 6, 8), "float32"), np.ones((4, 6), bool)).shape)
    (4, 6, 8)

    Reference:
        [Sun et al., 2019](https://arxiv.org/abs/1904.06690)
    """

    def __init__(
        self, num_heads: int, inner_units: int, is_causal: bool = False, **kwargs
    ) -> None:
        super().__init__(inner_units, **kwargs)
        self.num_heads = num_heads
        self.is_causal = is_causal
        self.attention = MaskedAttention(
            num_heads,
            self.dropout_rate,
            is_causal=is_causal,
            name="attention",
            dtype=self.dtype_policy,
        )

    def build(self, x_shape, mask_shape=None, queries_shape=None):
        super().build(x_shape)
        self.attention.build(x_shape, x_shape)

    def call(
        self, x: Any, mask: Any, queries: Any = None, training: bool | None = None
    ) -> Any:
        queries = x if queries is None else queries
        mixed = self.attention(queries, x, mask, training=training)
        return self._add(queries, mixed, training)

    def compute_output_shape(self, x_shape, mask_shape=None, queries_shape=None):
        return queries_shape or x_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "is_causal": self.is_causal,
        }


@keras.saving.register_keras_serializable("sar_tf")
class FilterBlock(_PostNormBlock):
    """Block of FMLP-Rec: a `FrequencyFilter` over the slots.

    Args:
        length: number of slots N.
        inner_units: width of the feed-forward network's hidden layer.
        dropout: rate on each sublayer's output.
        epsilon: epsilon of the layer normalization.

    Call arguments:
        x: `(B, N, D)`.
        last_only: whether to compute only the last slot.

    Returns:
        `(B, N, D)`; with `last_only`, `(B, 1, D)`.

    Example:

    >>> import numpy as np
    >>> block = FilterBlock(length=6, inner_units=16)
    >>> tuple(block(np.ones((4, 6, 8), "float32")).shape)
    (4, 6, 8)

    Reference:
        [Zhou et al., 2022](https://arxiv.org/abs/2202.13556)
    """

    def __init__(self, length: int, inner_units: int, **kwargs) -> None:
        super().__init__(inner_units, **kwargs)
        self.filter = FrequencyFilter(length, name="filter", dtype=self.dtype_policy)

    def build(self, x_shape):
        super().build(x_shape)
        self.filter.build(x_shape)

    def call(
        self, x: Any, last_only: bool = False, training: bool | None = None
    ) -> Any:
        mixed = self.filter(x, last_only=last_only)
        return self._add(x[:, -1:] if last_only else x, mixed, training)

    def compute_output_shape(self, x_shape, last_only=False):
        return (x_shape[0], 1, x_shape[2]) if last_only else x_shape

    def get_config(self):
        return {**super().get_config(), "length": self.filter.length}
