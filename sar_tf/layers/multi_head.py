"""What attention layers of several heads have in common."""

from typing import Any

from keras import ops

from sar_tf.layers.composite import Composite
from sar_tf.layers.dropout import Dropout


class MultiHead(Composite):
    """Base of attention layers whose h heads share the width D equally.

    Args:
        num_heads: number of heads h, a divisor of the width D.
        dropout: rate on the attention weights.
    """

    def __init__(self, num_heads: int, dropout: float = 0.0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.dropout_rate = dropout
        self.dropout = Dropout(dropout, name="dropout", dtype=self.dtype_policy)

    def _check_width(self, width: int) -> None:
        """Raises ValueError where the heads do not divide the width."""
        if width % self.num_heads:
            raise ValueError(
                f"{self.name}: num_heads={self.num_heads} does not divide "
                f"the width {width}"
            )

    def _split_heads(self, x: Any) -> Any:
        """`(B, N, D) -> (B, h, N, D / h)`."""
        batch, slots, width = ops.shape(x)
        x = ops.reshape(x, (batch, slots, self.num_heads, width // self.num_heads))
        return ops.transpose(x, (0, 2, 1, 3))

    def compute_output_shape(self, queries_shape, keys_shape=None, key_mask_shape=None):
        return queries_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "dropout": self.dropout_rate,
        }
