"""UnifiedSSR: one encoder of products and queries, for both tasks."""

from typing import Any

import keras
from keras import layers, ops

from sar_tf.layers.between import Between
from sar_tf.layers.dropout import Dropout
from sar_tf.layers.masking import masked_mean
from sar_tf.layers.next_item import next_items_losses
from sar_tf.layers.picked import pick
from sar_tf.layers.pre_norm import sinusoids
from sar_tf.layers.search_sequences import sequences_of_searches
from sar_tf.layers.siamese_block import SiameseBlock
from sar_tf.layers.soft_sessions import (
    double_at,
    likeness_between,
    likeness_within,
    window_masks,
    window_means,
)
from sar_tf.models.dot_product import DotProductModel
from sar_tf.models.encoders import (
    ItemEncoder,
    add_item_encoder,
    add_query_encoder,
    add_user_encoder,
)
from sar_tf.models.fine_tuned import FineTuned
from sar_tf.models.registry import register
from sar_tf.settings import Few, Rate, Size, Weight

# What each task reads.
_NEEDS: dict[str, tuple[str, ...]] = {
    "rec": ("rec_items",),
    "search": ("search_words", "clicked_items", "search_mask", "query_words"),
}


@register("unified_ssr")
class UnifiedSSR(FineTuned, DotProductModel):
    """UnifiedSSR, for both tasks: a history of products and one of queries.

        product token = e(items) + e(user) + p_t,  query token = q + e(user) + p_t
        P' = block(P, Q),  Q' = block(Q, P), the same blocks; LN behind the last one
        rec logit = <h_P, e(candidate)>              P the clicked recommendations
        search logit = w <h_P, e(candidate)> + (1 - w) <h_Q, e(candidate)>

    h is the output of the last place, p_t a fixed sinusoid. In recommendation P is its
    own partner. In search Q has the past queries and, last, the target's, and P at a
    query's place the mean of the items clicked in the search before it, masked where
    there are none. A score never sees the other task's history: what a task learns
    reaches the other through the shared weights. w is learned, within [0.1, 0.9].

    Soft sessions are windows of the places of a sequence (see `window_masks`). The
    output of a place within one is doubled. `session_loss_weight` weighs

        l = l_P + l_Q - l_PQ,    recommendation: l_P

    with l_P and l_Q the means of `|cos(s_k, s_k+1)|` of neighbouring windows' mean
    outputs, and l_PQ that of `cos(s_k of P, s_k of Q)`; empty windows do not count.

    Other than the released code, where no source settles it: the windows divide the
    places that hold something, not the padded length, and the code's offsets of
    windows, which get no gradient, are left out; e and q are not multiplied by sqrt(D);
    a search's clicked items are one token; a recommendation history that is empty has
    one place without an item. The code hands each block the same input, which is
    num_blocks=1. Where the loss is that of all models, of the last place alone, each
    place may see all others.

    `original_loss` is that of all places, from each of which follow the items of the
    next one, and from the last the target,

        l_t = -mean_i log sigmoid(<h_t, e(i)>) - sum_n log(1 - sigmoid(<h_t, e(n)>))

    of the items i and the target's negatives n; in search w l_t of P and (1 - w) l_t of
    Q. It reads the last target's history of each user and task in an epoch, as the
    histories of a user's targets overlap, and a place sees itself and earlier ones
    alone: in the released code each place sees what it is asked for.

    Args:
        spec, tables, tasks: As `Model`.
        embedding_dim: Width of the embeddings of ids, features and words before the
            encoders' dense layers.
        hidden_dim: Width D of the model.
        num_blocks: Blocks, each of which reads what the one before it wrote.
        num_heads: Attention heads, a divisor of D.
        dropout: Dropout rate, everywhere.
        is_causal: Whether a place sees only itself and earlier ones.
        num_sessions: Windows of a sequence.
        session_loss_weight: Weight of the loss of the windows.
        item_encoder: What an item's and a user's vector is made of, id and features or
            the id.
        original_loss: Whether the loss is that of all places of a sequence, instead of
            the one that all models have, of the last place; it is causal.

    Raises:
        ValueError: The tasks have search, and the dataset's queries have no words.

    Reference:
        [Xie et al., 2024](https://arxiv.org/abs/2310.13921)
    """

    tasks = ("rec", "search")

    def __init__(
        self,
        spec,
        tables=None,
        *,
        embedding_dim: Size = 32,
        hidden_dim: Size = 64,
        num_blocks: Few = 2,
        num_heads: Few = 4,
        dropout: Rate = 0.1,
        is_causal: bool = False,
        num_sessions: Few = 2,
        session_loss_weight: Weight = 0.1,
        item_encoder: ItemEncoder = "features",
        original_loss: bool = False,
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)
        self.needs = ("user", *(n for task in self.tasks for n in _NEEDS[task]))
        if original_loss:
            is_causal = True
            self.trains_main_loss = False
            self.needs += ("is_last",)
            self.loss_weights["sequence_loss"] = 1.0
        self.num_sessions = num_sessions
        if session_loss_weight:
            self.loss_weights["session_loss"] = session_loss_weight
        if "search" in self.tasks:
            self._add_search(embedding_dim, hidden_dim)
        add_item_encoder(self, item_encoder, embedding_dim, hidden_dim)
        add_user_encoder(self, item_encoder, embedding_dim, hidden_dim)
        longest = max(self.spec.max_rec_history, self.spec.max_search_history + 1)
        self._sinusoids = sinusoids(longest, hidden_dim)
        self.dropout = Dropout(dropout)
        self.blocks = [
            SiameseBlock(
                num_heads, 2 * hidden_dim, dropout, is_causal, name=f"block_{i}"
            )
            for i in range(num_blocks)
        ]
        self.norm = layers.LayerNormalization(epsilon=1e-6, name="norm")

    def _add_search(self, embedding_dim, hidden_dim):
        add_query_encoder(
            self,
            embedding_dim,
            hidden_dim,
            remedy="take a dataset with searches, or tasks=rec",
        )
        self.product_share = self.add_weight(
            name="product_share",
            shape=(),
            initializer=keras.initializers.Constant(0.5),
            constraint=Between(0.1, 0.9),
        )

    def encode_history(self, history, training):
        """The vectors of each task's behaviors; users and places are the targets'."""
        encoded = {}
        if "rec" in self.tasks:
            items = history["rec_items"]
            encoded["rec"] = {"items": self.encode_items(items), "mask": items > 0}
            encoded["rec"]["ids"] = items
        if "search" in self.tasks:
            clicked = history["clicked_items"]
            encoded["search"] = {
                "queries": self.encode_queries(history["search_words"]),
                "clicked": masked_mean(self.encode_items(clicked), clicked > 0, -2),
                "has_clicks": ops.any(clicked > 0, axis=-1),
                "mask": history["search_mask"],
                "ids": clicked,
            }
        return encoded

    def read_target(self, task, encoded, target, training):
        if task == "rec":
            return self._read_recommendations(encoded["rec"], target, training)
        return self._read_searches(encoded["search"], target, training)

    def _read_recommendations(self, encoded, target, training):
        mask = encoded["mask"]
        places = ops.broadcast_to(ops.arange(ops.shape(mask)[1])[None], ops.shape(mask))
        # A history without items has one place.
        length = ops.maximum(ops.sum(ops.cast(mask, "int32"), axis=1), 1)
        (h,) = self.encode(
            [encoded["items"]],
            [mask],
            target["user"],
            ops.where(mask, places, 0),
            training,
        )
        windows = window_masks(places, length, self.num_sessions)
        is_last = places == length[:, None] - 1
        found = {"vector": double_at(h, is_last, windows)}
        if training:
            found["products"] = window_means(h, windows & mask[:, None, :])
        if training and not self.trains_main_loss:
            following = ops.pad(encoded["ids"][:, 1:], ((0, 0), (0, 1)))
            following = ops.where(
                is_last, target["ids"]["candidates"][:, :1], following
            )
            found |= self._read_places([h], windows, following[..., None], target)
        return found

    def _read_searches(self, encoded, target, training):
        mask = encoded["mask"]
        queries, query_mask, products, product_mask, places = sequences_of_searches(
            *(encoded[name] for name in ("queries", "clicked", "has_clicks", "mask")),
            target["query"],
        )
        h = self.encode(
            [products, queries],
            [product_mask, query_mask],
            target["user"],
            places,
            training,
        )
        windows = window_masks(places, places[:, -1] + 1, self.num_sessions)
        is_last = ops.pad(ops.zeros_like(mask), ((0, 0), (0, 1)), constant_values=True)
        h_p, h_q = (double_at(x, is_last, windows) for x in h)
        share = ops.cast(self.product_share, h_p.dtype)
        found = {"vector": share * h_p + (1 - share) * h_q}
        if training:
            for name, x, own in zip(
                ("products", "queries"), h, (product_mask, query_mask), strict=True
            ):
                found[name] = window_means(x, windows & own[:, None, :])
        if training and not self.trains_main_loss:
            last = target["ids"]["candidates"][:, None, :1]
            last = ops.pad(last, ((0, 0), (0, 0), (0, encoded["ids"].shape[2] - 1)))
            following = ops.concatenate([encoded["ids"], last], axis=1)
            found |= self._read_places(h, windows, following, target)
        return found

    def _read_places(self, h, windows, following, target):
        """The costs of all places, and which of them count: each `(B · N,)`."""
        is_last, negatives = target["ids"]["is_last"], target["candidates"][:, 1:]
        parts = h, windows, following, negatives, is_last
        if not self.has_static_shapes:
            parts = pick(is_last, parts)
        h, windows, following, negatives, is_last = parts
        is_item = following > 0
        doubled = 1.0 + ops.cast(ops.any(windows, axis=1), h[0].dtype)[..., None]
        items = self.encode_items(following)
        costs = [next_items_losses(x * doubled, items, is_item, negatives) for x in h]
        if len(costs) > 1:
            share = ops.cast(self.product_share, "float32")
            costs = [share * costs[0] + (1.0 - share) * costs[1]]
        counts = ops.logical_and(ops.any(is_item, axis=-1), is_last[:, None])
        return {
            "costs": ops.reshape(costs[0], (-1,)),
            "counts": ops.reshape(counts, (-1,)),
        }

    def encode(
        self, sequences: list, masks: list, user: Any, places: Any, training: bool
    ) -> list:
        """The outputs of one sequence, or of two that read each other.

        Args:
            sequences: One or two arrays of the vectors of products or queries,
                `(B, N, D)`.
            masks: bool `(B, N)` of each.
            user: `(B, D)`.
            places: int `(B, N)`, the place of each slot in time.
            training: Whether dropout is applied.

        Returns:
            `(B, N, D)` of each.
        """
        places = ops.minimum(places, len(self._sinusoids) - 1)
        shared = ops.take(ops.cast(self._sinusoids, user.dtype), places, axis=0)
        shared = shared + user[:, None, :]
        x = [self.dropout(one + shared, training=training) for one in sequences]
        for block in self.blocks:
            # A sequence alone is its own partner.
            pairs = zip(x, masks, x[::-1], masks[::-1], strict=True)
            x = [block(*pair, training=training) for pair in pairs]
        return [self.norm(one) for one in x]

    def losses(self, task, rows, inputs):
        losses = {}
        if not self.trains_main_loss:
            losses["sequence_loss"] = rows["costs"], rows["counts"]
        if "session_loss" not in self.loss_weights:
            return losses
        terms = [likeness_within(*rows["products"])]
        if task == "search":
            terms.append(likeness_within(*rows["queries"]))
            means, is_there = zip(rows["products"], rows["queries"], strict=True)
            values, counts = likeness_between(means, is_there)
            terms.append((-values, counts))
        return {**losses, "session_loss": terms}
