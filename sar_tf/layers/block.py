"""What the blocks of transformers have in common."""

from typing import Any

from sar_tf.layers.composite import Composite
from sar_tf.layers.dropout import Dropout


class Block(Composite):
    """Base of blocks that mix the slots and pass each one through a network.

    The network is `W_2 GELU(W_1 x + b_1) + b_2` with a hidden layer of `inner_units`.
    A subclass mixes the slots, and normalizes before or after each of the two.

    Args:
        inner_units: width of the feed-forward network's hidden layer.
        dropout: dropout rate.
        epsilon: epsilon of the layer normalization.
        normalizes_mix: whether there is a normalization of the mixing.
    """

    def __init__(
        self,
        inner_units: int,
        dropout: float = 0.0,
        epsilon: float = 1e-12,
        normalizes_mix: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.inner_units = inner_units
        self.dropout_rate = dropout
        self.epsilon = epsilon
        self.dropout = Dropout(dropout, name="dropout", dtype=self.dtype_policy)
        self.mix_norm = self._norm("mix_norm", epsilon) if normalizes_mix else None
        self.feed_forward_norm = self._norm("feed_forward_norm", epsilon)

    def build(self, x_shape, mask_shape=None):
        width = x_shape[-1]
        if self.mix_norm is not None:
            self.mix_norm.build(x_shape)
        self.feed_forward_norm.build(x_shape)
        self.feed_forward_in = self._dense(self.inner_units, "feed_forward_in", width)
        self.feed_forward_out = self._dense(width, "feed_forward_out", self.inner_units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "inner_units": self.inner_units,
            "dropout": self.dropout_rate,
            "epsilon": self.epsilon,
        }
