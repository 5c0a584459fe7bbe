"""FMLP-Rec: learned filters over the recommendation history instead of attention."""

from keras import initializers, layers, ops

from sar_tf.layers.dropout import Dropout
from sar_tf.layers.embeddings import Embedding
from sar_tf.layers.post_norm import FilterBlock
from sar_tf.layers.recency import align_right
from sar_tf.models.dot_product import DotProductModel
from sar_tf.models.encoders import ItemEncoder, add_item_encoder
from sar_tf.models.registry import register
from sar_tf.settings import Few, Rate, Size


@register("fmlp_rec")
class FMLPRec(DotProductModel):
    """FMLP-Rec, for recommendation.

        X = Dropout(LN(e(h) + p))                rows of N slots, newest item last
        blocks:  X' = LN(X + Dropout(irfft(W * rfft(X))))
                 X  = LN(X' + Dropout(W_2 GELU(W_1 X' + b_1) + b_2))
        o = X at the last slot, score = <o, e(candidate)>

    Empty slots hold their position p, and nothing is masked: the model is made for N
    slots, the dataset's `max_rec_history`, and a model of another N has other weights.
    The filters wrap around, so that only the last slot may be trained or read. An empty
    history is a row of positions.

    Args:
        spec, tables, tasks: As `Model`.
        embedding_dim: Width of the embeddings of ids, features and words before the
            item encoder's dense layer.
        hidden_dim: Width D of the model.
        inner_units: Width of the feed-forward networks' hidden layer.
        num_blocks: Blocks of a filter and a feed-forward network.
        dropout: Dropout rate, everywhere.
        item_encoder: What an item's vector is made of, its id and features or its id.
        original_loss: Whether the loss is the authors', of the positive and one
            negative: the sum of their cross-entropies.

    Reference:
        [Zhou et al., 2022](https://arxiv.org/abs/2202.13556)
    """

    tasks = ("rec",)
    needs = ("rec_items",)
    trims_history = False

    def __init__(
        self,
        spec,
        tables=None,
        *,
        embedding_dim: Size = 32,
        hidden_dim: Size = 64,
        inner_units: Size = 256,
        num_blocks: Few = 2,
        dropout: Rate = 0.5,
        item_encoder: ItemEncoder = "features",
        original_loss: bool = False,
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)
        add_item_encoder(self, item_encoder, embedding_dim, hidden_dim)
        self.original_loss = original_loss
        length = self.spec.max_rec_history
        self.positions = Embedding(
            length,
            hidden_dim,
            embeddings_initializer=initializers.RandomNormal(stddev=0.02),
            name="positions",
        )
        self.norm = layers.LayerNormalization(epsilon=1e-12, name="norm")
        self.dropout = Dropout(dropout)
        self.blocks = [
            FilterBlock(length, inner_units, dropout=dropout, name=f"block_{i}")
            for i in range(num_blocks)
        ]

    def encode_history(self, history, training):
        """The vector o of each history: `(H, D)`."""
        items = history["rec_items"]
        if items.shape[1] != self.spec.max_rec_history:
            raise ValueError(
                f"{type(self).__name__} is made for histories of "
                f"{self.spec.max_rec_history} slots and cannot read {items.shape[1]}"
            )
        items = align_right(items)
        x = self.encode_items(items) + self.positions(ops.arange(items.shape[1]))
        x = self.dropout(self.norm(x), training=training)
        for block in self.blocks[:-1]:
            x = block(x, training=training)
        x = self.blocks[-1](x, last_only=True, training=training)
        return {"vector": x[:, 0]}

    def vector(self, task, encoded, target, training):
        return encoded["vector"]

    def main_loss(self, logits):
        if not self.original_loss:
            return super().main_loss(logits)
        return ops.softplus(-logits[:, 0]) + ops.softplus(logits[:, 1])
