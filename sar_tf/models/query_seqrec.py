"""Query-SeqRec: the next item of a sequence of items and queries."""

from typing import Literal

from keras import layers, ops, random

from sar_tf.layers.causal_attention import CausalBlock
from sar_tf.layers.clicked_items import newest_in_time, take_slots
from sar_tf.layers.dropout import Dropout
from sar_tf.layers.embeddings import Embedding
from sar_tf.layers.full_softmax import full_softmax_loss
from sar_tf.layers.mixed_history import times_of_tokens
from sar_tf.layers.picked import pick
from sar_tf.layers.recency import distance_to_newest
from sar_tf.models.dot_product import DotProductModel
from sar_tf.models.encoders import ItemEncoder, add_item_encoder, add_query_encoder
from sar_tf.models.inputs import MIXED_HISTORY
from sar_tf.models.original_losses import refuse_large_catalogue
from sar_tf.models.registry import register
from sar_tf.settings import Few, Rate, Size

_REPLACEMENTS = ("other_clicked_items", "other_search_words", "random_search_words")


@register("query_seqrec")
class QuerySeqRec(DotProductModel):
    """Query-SeqRec, for recommendation: SASRec over items and queries.

        x_t = Dropout(e(item) or q, + p_t + e(type))
        score = <LN(h), e(candidate)>                    h the output of the last token

    In time order a recommendation is a token, and a search a query's token and then
    one of each clicked item. Of these the newest `max_tokens` are kept, at the places
    t = 0, 1, …; the last may be a query. An empty history has h = 0. The original keeps
    50 tokens and reads 5 words of a query.

    In training a share `replaced_share` of the queries and of the clicked items is
    replaced: a share `graph_share` of these by the graph of queries and items, an item
    by another one clicked for its query, a query by another one that led to the item
    behind it; the others by any item or query. The graph has the clicks of training
    alone that are earlier than the target, without a threshold; where it has none, a
    token stays, and recommendations, which have no query, stay too.

    `original_loss` is the original's: the cross-entropy of the next item among all
    items, at each token that an item follows, the target behind the last one. It reads
    the last target's history of each user in an epoch, as the histories of a user's
    targets overlap. Items are asked for as they were, not as they are replaced. The
    original's shares were (0.25, 0.2) on one dataset and (0.1, 0.3) on another.

    Args:
        spec, tables, tasks: As `Model`.
        embedding_dim: Width of the embeddings of ids, features and words before the
            encoders' dense layers.
        hidden_dim: Width D of the model.
        num_blocks: Blocks of causal attention.
        num_heads: Attention heads, a divisor of D.
        dropout: Dropout rate, everywhere.
        max_tokens: Tokens of a sequence.
        replaced_share: Share of the queries and clicked items that training replaces.
        graph_share: Share of these that is replaced by the graph.
        block: Variant of the blocks: SASRec's, or that of the released code, which has
            no residual around the attention and adds that of the network twice.
        item_encoder: What an item's vector is made of, its id and features or its id.
        original_loss: Whether the loss is the cross-entropy of each next item among all
            items, instead of the one that all models have, of the history's end.

    Raises:
        ValueError: The dataset's queries have no words, or `original_loss` finds more
            items than a softmax over all of them can have.

    Reference:
        [He et al., 2022](https://doi.org/10.1145/3511808.3557677)
    """

    tasks = ("rec",)
    needs: tuple[str, ...] = MIXED_HISTORY

    def __init__(
        self,
        spec,
        tables=None,
        *,
        embedding_dim: Size = 32,
        hidden_dim: Size = 64,
        num_blocks: Few = 2,
        num_heads: Few = 2,
        dropout: Rate = 0.2,
        max_tokens: Size = 100,
        replaced_share: Rate = 0.1,
        graph_share: Rate = 0.3,
        block: Literal["sasrec", "query_seqrec"] = "sasrec",
        item_encoder: ItemEncoder = "features",
        original_loss: bool = False,
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)
        if original_loss:
            refuse_large_catalogue(self.spec)
            self.trains_main_loss = False
            self.loss_weights["sequence_loss"] = 1.0
            self.needs += ("is_last",)
        self.max_tokens = max_tokens
        self.replaced_share = replaced_share
        self.graph_share = graph_share
        if replaced_share:
            self.needs += _REPLACEMENTS
            self.seed_generator = random.SeedGenerator()
        add_query_encoder(self, embedding_dim, hidden_dim, who="Query-SeqRec reads")
        add_item_encoder(self, item_encoder, embedding_dim, hidden_dim)
        self.position_embedding, self.type_embedding = (
            Embedding(
                rows,
                hidden_dim,
                embeddings_initializer="glorot_normal",
                name=f"{name}_embedding",
            )
            for name, rows in (("place", max_tokens), ("type", 2))
        )
        self.dropout = Dropout(dropout)
        self.blocks = [
            CausalBlock(num_heads, dropout, variant=block, name=f"block_{i}")
            for i in range(num_blocks)
        ]
        self.norm = layers.LayerNormalization(epsilon=1e-8, name="norm")

    def read_tokens(self, history):
        """The newest tokens of each history, oldest first, without places.

        Args:
            history: The histories' arrays.

        Returns:
            Vectors `(H, T, D)` and their mask `(H, T)`.
        """
        items, clicked = history["rec_items"], _in_a_row(history["clicked_items"])
        queries = self.encode_queries(history["search_words"])
        is_item, is_query = ops.split(self.type_embedding(ops.arange(2)), 2, axis=0)
        x = ops.concatenate(
            [
                self.encode_items(items) + is_item,
                queries + is_query,
                self.encode_items(clicked) + is_item,
            ],
            axis=1,
        )
        mask, newest = self._newest_tokens(history)
        return take_slots(x, newest), take_slots(mask, newest)

    def _newest_tokens(self, history):
        """The mask of all tokens, and the slots of the newest ones."""
        items, clicked = history["rec_items"], history["clicked_items"]
        mask = [items > 0, history["search_mask"], _in_a_row(clicked) > 0]
        mask = ops.concatenate(mask, axis=1)
        times = times_of_tokens(
            history["rec_positions"], history["search_positions"], clicked.shape[2]
        )
        kept = newest_in_time(ops.cast(mask, "int32"), times, self.max_tokens)
        return mask, kept

    def next_items(self, history, target):
        """The item behind each token of `read_tokens`: `(H, T)`, 0 where there is none.

        Args:
            history: The histories' arrays.
            target: int `(H,)`, the item behind the last token.
        """
        items, clicked = history["rec_items"], _in_a_row(history["clicked_items"])
        queries = ops.zeros_like(history["search_positions"])
        mask, newest = self._newest_tokens(history)
        items = take_slots(ops.concatenate([items, queries, clicked], axis=1), newest)
        items = ops.pad(items[:, 1:], ((0, 0), (0, 1)))
        is_newest = distance_to_newest(take_slots(mask, newest)) == 0
        is_newest = ops.logical_and(is_newest, take_slots(mask, newest))
        return ops.where(is_newest, target[:, None], items)

    def encode_history(self, history, training):
        """The vector of each history; in training what a target's draws change."""
        if training and (self.replaced_share or self.loss_weights):
            return history
        return {"vector": self.encode_sequence(history, training)}

    def vector(self, task, encoded, target, training):
        if "vector" in encoded:
            return encoded["vector"]
        return self.encode_sequence(self.replace(encoded, target["ids"]), training)

    def read(self, task, encoded, target, training):
        if not (training and self.loss_weights):
            return super().read(task, encoded, target, training)
        history, inputs = encoded, target["ids"]
        if not self.has_static_shapes:
            history, inputs = pick(inputs["is_last"], (history, inputs))
        following = self.next_items(history, inputs["candidates"][:, 0])
        counts = ops.logical_and(following > 0, inputs["is_last"][:, None])
        if self.replaced_share:
            history = self.replace(history, inputs)
        vectors = self.encode_positions(history, training)
        return {
            "vectors": ops.reshape(vectors, (-1, vectors.shape[-1])),
            "following": ops.reshape(following, (-1,)),
            "counts": ops.reshape(counts, (-1,)),
        }

    def losses(self, task, rows, inputs):
        if not self.loss_weights:
            return {}
        if not self.has_static_shapes:
            rows = pick(rows["counts"], rows)
        every = self.encode_items(ops.arange(1, self.spec.num_items + 1))
        following = self.encode_items(rows["following"])
        values = full_softmax_loss(rows["vectors"], following, every)
        return {"sequence_loss": (values, rows["counts"])}

    def replace(self, history, inputs):
        """The histories with some clicked items and queries replaced.

        Args:
            history: The histories' arrays.
            inputs: The targets' inputs, rows in the same order.
        """
        other_items, other_words, any_words = (
            # A history may be cut to the slots that its group uses.
            inputs[name][:, : ops.shape(history["search_mask"])[1]]
            for name in _REPLACEMENTS
        )
        clicked, words = history["clicked_items"], history["search_words"]
        chance = random.randint(
            ops.shape(clicked), 1, self.spec.num_items + 1, seed=self.seed_generator
        )
        is_replaced, is_of_graph = self._choose(ops.shape(clicked))
        items = ops.where(is_of_graph, other_items, chance)
        is_replaced = is_replaced & (clicked > 0) & (items > 0)
        is_other, is_of_graph = self._choose(ops.shape(words)[:2])
        others = ops.where(is_of_graph[..., None], other_words, any_words)
        is_other = is_other & ops.any(others > 0, axis=-1)
        return {
            **history,
            "clicked_items": ops.where(is_replaced, items, clicked),
            "search_words": ops.where(is_other[..., None], others, words),
        }

    def _choose(self, shape):
        """Which tokens are replaced, and which of them by the graph."""
        draws = random.uniform((2, *shape), seed=self.seed_generator)
        return draws[0] < self.replaced_share, draws[1] < self.graph_share

    def encode_sequence(self, history, training):
        """The vector of each history's last token: `(H, D)`."""
        x, mask = self.read_tokens(history)
        x = self.encode(x, mask, training)
        newest = self.blocks[-1](x, mask, newest_only=True, training=training)
        vector = self.norm(newest)
        is_known = ops.any(mask, axis=1, keepdims=True)
        return vector * ops.cast(is_known, vector.dtype)

    def encode_positions(self, history, training):
        """The vector behind each token: `(H, T, D)`."""
        x, mask = self.read_tokens(history)
        x = self.encode(x, mask, training)
        return self.norm(self.blocks[-1](x, mask, training=training))

    def encode(self, x, mask, training):
        """The input of the last block: `(H, T, D)`."""
        x = x + self.position_embedding(ops.arange(ops.shape(x)[1]))
        x = self.dropout(x, training=training)
        x = x * ops.expand_dims(ops.cast(mask, x.dtype), -1)
        for block in self.blocks[:-1]:
            x = block(x, mask, training=training)
        return x


def _in_a_row(clicked):
    """`(H, N, K) -> (H, N · K)`."""
    size, slots, width = ops.shape(clicked)
    return ops.reshape(clicked, (size, slots * width))
