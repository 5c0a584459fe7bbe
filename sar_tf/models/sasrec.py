"""SASRec: the next item by causal self-attention over the recommendation history."""

from typing import Literal

from keras import layers, ops

from sar_tf.layers.causal_attention import CausalBlock
from sar_tf.layers.dropout import Dropout
from sar_tf.layers.next_item import next_item_losses
from sar_tf.layers.post_norm import BidirectionalBlock
from sar_tf.layers.recency import RecencyEmbedding, newest
from sar_tf.models.dot_product import DotProductModel
from sar_tf.models.encoders import ItemEncoder, add_item_encoder
from sar_tf.models.registry import register
from sar_tf.settings import Few, Rate, Size


@register("sasrec")
class SASRec(DotProductModel):
    """SASRec, for recommendation.

        X = (Dropout(sqrt(D) e(h) + p)) · mask, then blocks of causal attention
        o = LN(X) at the newest item, score = <o, e(candidate)>

    The factor sqrt(D) is for item_encoder="id", the authors' table, alone. With
    block="bert", which a later implementation has, there is no factor, and

        X = Dropout(LN(e(h) + p)), then BERT4Rec's blocks, in which a slot sees itself
        and earlier ones; o = X at the newest item

    The positions p count from the newest item, as the last slots of the authors'
    left-padded rows do. An empty history has o = 0.

    `original_loss` is the authors' loss. It asks for the next item at each position,

        L = -mean_t [log sigmoid(<o_t, e(h_t+1)>) + log(1 - sigmoid(<o_t, e(n_t+1)>))]

    n is drawn from the items that the user never touched. It reads one sequence of each
    user in an epoch, the newest one, as the histories of a user's targets overlap; the
    newest item of it is asked for and never read.

    Args:
        spec, tables, tasks: As `Model`.
        embedding_dim: Width of the embeddings of ids, features and words before the
            item encoder's dense layer.
        hidden_dim: Width D of the model.
        num_blocks: Blocks of causal attention.
        num_heads: Attention heads, a divisor of D.
        dropout: Dropout rate, everywhere.
        block: Variant of the blocks: the authors', or that of BERT4Rec.
        inner_units: Width of the feed-forward networks' hidden layer with block="bert".
        item_encoder: What an item's vector is made of, its id and features or its id.
        original_loss: Whether the loss is the authors', of all positions of a sequence
            against one negative each, instead of the one that all models have, of the
            history's end.

    Reference:
        [Kang and McAuley, 2018](https://arxiv.org/abs/1808.09781)
    """

    tasks = ("rec",)
    needs: tuple[str, ...] = ("rec_items",)

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
        block: Literal["sasrec", "bert"] = "sasrec",
        inner_units: Size = 256,
        item_encoder: ItemEncoder = "features",
        original_loss: bool = False,
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)
        add_item_encoder(self, item_encoder, embedding_dim, hidden_dim)
        if original_loss:
            self.trains_main_loss = False
            self.loss_weights["sequence_loss"] = 1.0
            self.needs += ("sequence_items", "sequence_negatives")
        self.positions = RecencyEmbedding(
            self.spec.max_rec_history, hidden_dim, name="positions"
        )
        self.dropout = Dropout(dropout)
        self.is_bert = block == "bert"
        self.blocks = [
            BidirectionalBlock(
                num_heads, inner_units, True, dropout=dropout, name=f"block_{i}"
            )
            if self.is_bert
            else CausalBlock(num_heads, dropout, name=f"block_{i}")
            for i in range(num_blocks)
        ]
        epsilon = 1e-12 if self.is_bert else 1e-8
        self.norm = layers.LayerNormalization(epsilon=epsilon, name="norm")
        # A factor for small tables; it would drown the positions in vectors of tanh.
        is_scaled = item_encoder == "id" and not self.is_bert
        self.scale = hidden_dim**0.5 if is_scaled else 1.0

    def encode_history(self, history, training):
        """The vector o of each history: `(H, D)`."""
        items = history["rec_items"]
        mask = items > 0
        vector = self.encode(items, mask, newest_only=True, training=training)
        is_known = ops.any(mask, axis=1, keepdims=True)
        return {"vector": vector * ops.cast(is_known, vector.dtype)}

    def encode(self, items, mask, newest_only=False, training=False):
        """The vector o at each slot `(H, N, D)`, or at the newest item `(H, D)`."""
        x = self.encode_items(items) * self.scale + self.positions(mask)
        if self.is_bert:
            x = self.dropout(self.norm(x), training=training)
            return self._encode_as_bert(x, mask, newest_only, training)
        x = self.dropout(x, training=training)
        x = x * ops.expand_dims(ops.cast(mask, x.dtype), -1)
        for block in self.blocks[:-1]:
            x = block(x, mask, training=training)
        x = self.blocks[-1](x, mask, newest_only=newest_only, training=training)
        return self.norm(x)

    def _encode_as_bert(self, x, mask, newest_only, training):
        for block in self.blocks[:-1]:
            x = block(x, mask, training=training)
        queries = newest(x, mask)[:, None] if newest_only else None
        x = self.blocks[-1](x, mask, queries, training=training)
        return x[:, 0] if newest_only else x

    def vector(self, task, encoded, target, training):
        return encoded["vector"]

    def losses(self, task, rows, inputs):
        if not self.loss_weights:
            return {}
        items, drawn = inputs["sequence_items"], inputs["sequence_negatives"]
        following = items[:, 1:]
        is_read = following > 0  # All items but the newest one.
        o = self.encode(ops.where(is_read, items[:, :-1], 0), is_read, training=True)
        values = next_item_losses(
            o, self.encode_items(following), self.encode_items(drawn[:, 1:])
        )
        return {"sequence_loss": (values, is_read)}
