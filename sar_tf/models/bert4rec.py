"""BERT4Rec: a bidirectional transformer fills in the masked items of a history."""

from keras import initializers, layers, ops

from sar_tf.layers.dropout import Dropout
from sar_tf.layers.full_softmax import full_softmax_loss
from sar_tf.layers.picked import pick
from sar_tf.layers.post_norm import BidirectionalBlock
from sar_tf.layers.recency import (
    RecencyEmbedding,
    distance_to_newest,
    end_of_history,
    newest,
)
from sar_tf.layers.sampled_softmax import sampled_softmax_loss
from sar_tf.models.dot_product import DotProductModel
from sar_tf.models.encoders import ItemEncoder, add_item_encoder
from sar_tf.models.original_losses import refuse_large_catalogue
from sar_tf.models.registry import register
from sar_tf.settings import Few, Rate, Size, Weight


@register("bert4rec")
class BERT4Rec(DotProductModel):
    """BERT4Rec, for recommendation.

        X = Dropout(LN(e(token) + p))                 h_1 … h_L and one [MASK]
        blocks:  A = LN(X + Dropout(MH(X)))           each slot sees all tokens
                 X = LN(A + Dropout(W_2 GELU(W_1 A + b_1) + b_2))
        o = LN(GELU(W_P x + b_P)) at [MASK], score = <o, e(candidate)> + b(candidate)
        L = L_click + weight · L_cloze

    [MASK] is a vector of its own, which no item has. The positions p count from the
    newest token. The cloze loss masks each item of a sequence with probability rho, or
    the newest one if none was drawn, and is the mean over the masked items of their
    cross-entropy among themselves and the items that the step draws uniformly. It
    reads one sequence of each user in an epoch, the newest one: the histories of a
    user's targets overlap.

    `original_loss` is the original's: L_cloze alone, of each masked item among all
    items. That the original has further samples that mask the newest item alone, as at
    the end of a history, is not certain: `newest_rate` makes this a share of the
    sequences.

    Args:
        spec, tables, tasks: As `Model`.
        embedding_dim: Width of the embeddings of ids, features and words before the
            item encoder's dense layer.
        hidden_dim: Width D of the model.
        inner_units: Width of the feed-forward networks' hidden layer.
        num_blocks: Blocks of attention and a feed-forward network.
        num_heads: Attention heads, a divisor of D.
        dropout: Dropout rate, everywhere.
        mask_rate: Probability rho that the cloze loss masks an item.
        newest_rate: Probability that the cloze loss masks the newest item of a
            sequence alone.
        cloze_weight: Weight of the cloze loss.
        normalizes_output: Whether o has its LN. It is not certain that the paper's has.
        item_encoder: What an item's vector is made of, its id and features or its id.
        original_loss: Whether the loss is the cloze loss alone, over all items, instead
            of its sum with the one that all models have.

    Raises:
        ValueError: `original_loss` has a `cloze_weight` of 0, or there are more items
            than a softmax over all of them can have.

    Reference:
        [Sun et al., 2019](https://arxiv.org/abs/1904.06690)
    """

    tasks = ("rec",)
    needs: tuple[str, ...] = ("rec_items", "sequence_items", "sampled_items")

    def __init__(
        self,
        spec,
        tables=None,
        *,
        embedding_dim: Size = 32,
        hidden_dim: Size = 64,
        inner_units: Size = 256,
        num_blocks: Few = 2,
        num_heads: Few = 2,
        dropout: Rate = 0.2,
        mask_rate: Rate = 0.2,
        newest_rate: Rate = 0.0,
        cloze_weight: Weight = 1.0,
        normalizes_output: bool = True,
        item_encoder: ItemEncoder = "features",
        original_loss: bool = False,
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)
        add_item_encoder(self, item_encoder, embedding_dim, hidden_dim)
        if cloze_weight:
            self.loss_weights["cloze_loss"] = cloze_weight
        else:
            self.needs = ("rec_items",)
        if original_loss:
            self._take_original_loss(cloze_weight)
        self.mask_vector = self.add_weight(
            name="mask_vector",
            shape=(hidden_dim,),
            initializer=initializers.RandomNormal(stddev=0.02),
        )
        self.add_item_bias()
        self.positions = RecencyEmbedding(
            self.spec.max_rec_history + 1,
            hidden_dim,
            embeddings_initializer=initializers.RandomNormal(stddev=0.02),
            name="positions",
        )
        self.norm = layers.LayerNormalization(epsilon=1e-12, name="norm")
        self.dropout = Dropout(dropout)
        self.blocks = [
            BidirectionalBlock(
                num_heads, inner_units, dropout=dropout, name=f"block_{i}"
            )
            for i in range(num_blocks)
        ]
        self.projection = layers.Dense(
            hidden_dim, kernel_initializer="glorot_normal", name="projection"
        )
        self.output_norm = None
        if normalizes_output:
            self.output_norm = layers.LayerNormalization(
                epsilon=1e-12, name="output_norm"
            )
        self.kept = Dropout(mask_rate, name="kept")  # Draws what the cloze loss masks.
        self.kept_whole = (
            Dropout(newest_rate, name="kept_whole") if newest_rate else None
        )

    def _take_original_loss(self, cloze_weight):
        if not cloze_weight:
            raise ValueError(
                "original_loss is the cloze loss: cloze_weight must not be 0"
            )
        refuse_large_catalogue(self.spec)
        self.trains_main_loss = False
        self.needs = ("rec_items", "sequence_items")

    def encode_history(self, history, training):
        """`[o ; 1]` of each history: `(H, D + 1)`."""
        items = ops.pad(history["rec_items"], ((0, 0), (0, 1)))
        slots = ops.arange(ops.shape(items)[1])
        is_masked = slots[None, :] == end_of_history(items)
        return {"vector": self.fill_in(items, is_masked, True, training)[:, 0]}

    def vector(self, task, encoded, target, training):
        return encoded["vector"]

    def fill_in(self, items, is_masked, newest_only=False, training=False):
        """`[o ; 1]` of each slot, or of the newest one.

        Args:
            items: int `(B, N)`.
            is_masked: bool `(B, N)`, the slots that hold [MASK] instead of the item.
            newest_only: Whether to compute only the newest token's vector.
            training: Whether dropout is applied.

        Returns:
            `(B, N, D + 1)`, or `(B, 1, D + 1)`.
        """
        is_token = ops.logical_or(items > 0, is_masked)
        x = self.encode_items(items)
        mask_vector = ops.cast(self.mask_vector, x.dtype)
        x = ops.where(is_masked[..., None], mask_vector, x) + self.positions(is_token)
        x = self.dropout(self.norm(x), training=training)
        for block in self.blocks[:-1]:
            x = block(x, is_token, training=training)
        queries = newest(x, is_token)[:, None] if newest_only else None
        x = self.blocks[-1](x, is_token, queries, training=training)
        x = ops.gelu(self.projection(x), approximate=False)
        return self.with_one(x if self.output_norm is None else self.output_norm(x))

    def draw_masked(self, items):
        """The items to mask: bool `(B, N)`, one of each sequence or more."""
        kept = self.kept(ops.ones(ops.shape(items)), training=True) > 0
        is_drawn = ops.logical_and(items > 0, ops.logical_not(kept))
        is_newest = ops.logical_and(items > 0, distance_to_newest(items > 0) == 0)
        newest_alone = ops.logical_not(ops.any(is_drawn, axis=1, keepdims=True))
        if self.kept_whole is not None:
            rows = ops.ones_like(newest_alone, dtype="float32")
            is_chosen = self.kept_whole(rows, training=True) == 0
            newest_alone = ops.logical_or(newest_alone, is_chosen)
        return ops.where(newest_alone, is_newest, is_drawn)

    def losses(self, task, rows, inputs):
        if not self.loss_weights:
            return {}
        items = inputs["sequence_items"]
        is_masked = self.draw_masked(items)
        asked = self.fill_in(items, is_masked, training=True)
        positive = self.encode_candidates(items)
        if self.trains_main_loss:
            sampled = inputs["sampled_items"]
            values = sampled_softmax_loss(
                asked,
                positive,
                self.encode_candidates(sampled),
                items[..., None] == sampled,
            )
        else:
            if not self.has_static_shapes:
                asked, positive = pick(is_masked, (asked, positive))
                is_masked = ops.ones(ops.shape(asked)[:1])
            every = ops.arange(1, self.spec.num_items + 1)
            values = full_softmax_loss(asked, positive, self.encode_candidates(every))
        return {"cloze_loss": (values, is_masked)}
