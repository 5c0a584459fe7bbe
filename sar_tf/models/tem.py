"""TEM: the query and the items of the history in one transformer."""

from typing import Any

from keras import layers, ops

from sar_tf.layers.pre_norm import PreNormBlock, sinusoids
from sar_tf.models.registry import register
from sar_tf.models.search_model import HistorySearchModel
from sar_tf.settings import Few, Rate, Size


@register("tem")
class TEM(HistorySearchModel):
    """TEM, for personalized search.

        X = [q ; h_1 ; … ; h_L] + PE                 fixed positions, the query's is 0
        blocks:  X = X + Dropout(MH(X'))             X' = LN(X), in the first block X
                 X = X + Dropout(W_2 Dropout(GELU(W_1 LN(X) + b_1)) + b_2)
        M = LN(X) at the query, score = <M, e(candidate)>

    Each slot sees the query and all items. Position n is the n-th of the items that are
    kept, so that positions say nothing about how long ago an item was clicked.

    Args:
        spec, tables, tasks, …: As `SearchModel`.
        history: What the items are, those clicked in searches ("search"), clicked
            recommendations ("rec") or both of them by time.
        inner_units: Width of the feed-forward networks' hidden layer.
        num_blocks: Blocks of attention and a feed-forward network.
        num_heads: Attention heads, a divisor of D.
        dropout: Dropout rate, everywhere.
        use_positions: Whether the order of the items matters.

    Reference:
        [Bi et al., 2020](https://doi.org/10.1145/3397271.3401192)
    """

    def __init__(
        self,
        spec,
        tables=None,
        *,
        inner_units: Size = 256,
        num_blocks: Few = 1,
        num_heads: Few = 8,
        dropout: Rate = 0.1,
        use_positions: bool = True,
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)
        self.blocks = [
            PreNormBlock(
                num_heads,
                inner_units,
                dropout,
                normalizes_input=index > 0,
                name=f"block_{index}",
            )
            for index in range(num_blocks)
        ]
        self.norm = layers.LayerNormalization(epsilon=1e-6, name="norm")
        self.positions = None
        if use_positions:
            self.positions = sinusoids(1 + self.num_items, self.hidden_dim)

    def intent(self, task, encoded, target, training):
        return self.transform(
            target["query"], encoded["items"], encoded["mask"], training
        )

    def transform(self, query: Any, items: Any, mask: Any, training: bool) -> Any:
        """The vector M of each row: `(B, D)`.

        Args:
            query: `(B, D)`.
            items: `(B, N, D)`, those of empty slots 0.
            mask: bool `(B, N)`.
            training: Whether dropout is applied.
        """
        x = ops.concatenate([query[:, None], items], axis=1)
        mask = ops.pad(mask, ((0, 0), (1, 0)), constant_values=True)
        if self.positions is not None:
            positions = ops.convert_to_tensor(self.positions, x.dtype)
            x = x + positions[: ops.shape(x)[1]]
        for block in self.blocks[:-1]:
            x = block(x, mask, training=training)
        x = self.blocks[-1](x, mask, first_only=True, training=training)
        return self.norm(x[:, 0])
