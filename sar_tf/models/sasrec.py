"""SASRec: the next item by causal self-attention over the recommendation history."""

from keras import layers, ops

from sar_tf.layers.causal_attention import CausalBlock
from sar_tf.layers.dropout import Dropout
from sar_tf.layers.recency import RecencyEmbedding
from sar_tf.models.dot_product import DotProductModel
from sar_tf.models.encoders import ItemEncoder, add_item_encoder
from sar_tf.models.registry import register
from sar_tf.settings import Few, Rate, Size


@register("sasrec")
class SASRec(DotProductModel):
    """SASRec, for recommendation.

        X = (Dropout(sqrt(D) e(h) + p)) · mask, then blocks of causal attention
        o = LN(X) at the newest item, score = <o, e(candidate)>

    The factor sqrt(D) is for item_encoder="id", the authors' table, alone. The
    positions p count from the newest item, as the last slots of the authors'
    left-padded rows do. An empty history has o = 0. The authors train each position of
    a history against one negative; here the loss is the one of all models, of the
    history's end alone.

    Args:
        spec, tables, tasks: As `Model`.
        embedding_dim: Width of the embeddings of ids, features and words before the
            item encoder's dense layer.
        hidden_dim: Width D of the model.
        num_blocks: Blocks of causal attention.
        num_heads: Attention heads, a divisor of D.
        dropout: Dropout rate, everywhere.
        item_encoder: What an item's vector is made of, its id and features or its id.

    Reference:
        [Kang and McAuley, 2018](https://arxiv.org/abs/1808.09781)
    """

    tasks = ("rec",)
    needs = ("rec_items",)

    def __init__(
        self,
        spec,
        tables=None,
        *,
        embedding_dim: Size = 32,
        hidden_dim: Size = 64,
        num_blocks: Few = 2,
        num_heads: Few = 1,
        dropout: Rate = 0.2,
        item_encoder: ItemEncoder = "features",
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)
        add_item_encoder(self, item_encoder, embedding_dim, hidden_dim)
        self.positions = RecencyEmbedding(
            self.spec.max_rec_history, hidden_dim, name="positions"
        )
        self.dropout = Dropout(dropout)
        self.blocks = [
            CausalBlock(num_heads, dropout, name=f"block_{i}")
            for i in range(num_blocks)
        ]
        self.norm = layers.LayerNormalization(epsilon=1e-8, name="norm")
        # A factor for small tables; it would drown the positions in vectors of tanh.
        self.scale = hidden_dim**0.5 if item_encoder == "id" else 1.0

    def encode_history(self, history, training):
        """The vector o of each history: `(H, D)`."""
        items = history["rec_items"]
        mask = items > 0
        x = self.encode_items(items) * self.scale + self.positions(mask)
        x = self.dropout(x, training=training)
        x = x * ops.expand_dims(ops.cast(mask, x.dtype), -1)
        for block in self.blocks[:-1]:
            x = block(x, mask, training=training)
        newest = self.blocks[-1](x, mask, newest_only=True, training=training)
        vector = self.norm(newest)
        is_known = ops.any(mask, axis=1, keepdims=True)
        return {"vector": vector * ops.cast(is_known, vector.dtype)}

    def vector(self, task, encoded, target, training):
        return encoded["vector"]
