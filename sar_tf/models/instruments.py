"""Models that read the queries that led to an item as its instrumental variables."""

from typing import Any, Literal

from keras import ops

from sar_tf.layers.activation_unit import ActivationUnit
from sar_tf.models.encoders import ItemEncoder, add_item_encoder, add_query_encoder
from sar_tf.models.network_head import NetworkHeadModel
from sar_tf.models.training_tables import (
    add_training_tables,
    encode_query_ids,
    require_of_training,
)
from sar_tf.models.user_views import VIEWS_NEED, UserViews

Base = Literal["din", "nrhub"]


class InstrumentModel(UserViews, NetworkHeadModel):
    """DIN or NRHUB on items that a subclass rebuilds from their vectors and queries'.

    An item's vector before that is `[I(v) ; z_1 ; .. ; z_N]`, N of `spec`'s
    `max_item_queries`, with z_k = 0 where there is no k-th query. In a batch, queries
    are those that led to the item before the target's time; where it has none, as in
    requests to a served model, those of all clicks of training.

    A subclass calls `add_parts` in its constructor and implements `rebuild`.
    """

    tasks = ("rec",)
    needs: tuple[str, ...] = ("rec_items", "rec_item_queries", "candidate_queries")

    def add_parts(
        self,
        base: Base,
        embedding_dim: int,
        hidden_dim: int,
        attention_units: tuple[int, ...],
        prediction_units: tuple[int, ...],
        view_dim: int,
        item_encoder: ItemEncoder,
    ) -> None:
        """Makes the encoders, the tables and the base.

        Args:
            base: Which model reads the items.
            embedding_dim, hidden_dim, item_encoder: As DIN's.
            attention_units, prediction_units: As DIN's, which has them.
            view_dim: As NRHUB's, which has it, and the inner width of the attentions
                within its views; half of it is that of the attention over the views.

        Raises:
            ValueError: The dataset's queries have no words.
        """
        add_query_encoder(self, embedding_dim, hidden_dim)
        add_item_encoder(self, item_encoder, embedding_dim, hidden_dim)
        add_training_tables(self, "item_queries")
        self.base = base
        if base == "nrhub":
            self.needs += VIEWS_NEED
            self.add_views(view_dim, max(view_dim // 2, 1), view_dim)
            return
        self.activation_unit = ActivationUnit(
            attention_units, "dice", name="activation_unit"
        )
        self.add_head(prediction_units, False, embedding_dim, hidden_dim)

    def rebuild(self, item: Any, queries: Any, training: bool) -> Any:
        """What the base has in place of an item's vector.

        Args:
            item: `(..., D)`, I(v).
            queries: `(..., N, D)`, its queries; zero vectors where it has fewer.
            training: Whether dropout is applied.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method rebuild")

    def encode_candidates(self, items):
        return self.with_queries(items, None)

    def encode_target(self, inputs):
        items, queries = inputs["candidates"], inputs.get("candidate_queries")
        return {"candidates": self.with_queries(items, queries)}

    def encode_history(self, history, training):
        items = history["rec_items"]
        queries = require_of_training(history, "rec_item_queries", training)
        vectors = self.with_queries(items, queries)
        rebuilt = self.rebuild(*self.parts(vectors), training)
        return self.encode_rebuilt(history, rebuilt)

    def encode_rebuilt(self, history: Any, items: Any) -> dict[str, Any]:
        """What the base makes of the histories alone.

        Args:
            history: The histories' arrays.
            items: `(H, Nr, D)`, the vectors of clicked recommendations, rebuilt.
        """
        if self.base == "din":
            return {"items": items, "mask": history["rec_items"] > 0}
        views = self.read_views(history, items)
        return self.pool_user(self.pool_views(views), views)

    def with_queries(self, items, queries):
        """`[I(v) ; z_1 ; ..]`, `(..., (1 + N) D)`; the tables' queries where None."""
        if queries is None:
            queries = self.training_tables.look_up("item_queries", items)
        z = encode_query_ids(self, queries)
        z = ops.reshape(z, (*ops.shape(items), z.shape[-2] * z.shape[-1]))
        return ops.concatenate([self.encode_items(items), z], axis=-1)

    def parts(self, vectors: Any) -> tuple[Any, Any]:
        """I(v) `(..., D)` and z `(..., N, D)` of `[I(v) ; z_1 ; ..]`."""
        number = self.spec.max_item_queries
        width = vectors.shape[-1] // (1 + number)
        z = ops.reshape(vectors[..., width:], (*ops.shape(vectors)[:-1], number, width))
        return vectors[..., :width], z

    def see(self, encoded, candidates, mask, training):
        v = self.rebuild(*self.parts(candidates), training)
        u = self.activation_unit(encoded["items"], v, mask, training=training)
        return [v, u]

    def read(self, task, encoded, target, training):
        if self.base == "din":
            return super().read(task, encoded, target, training)
        v = self.rebuild(*self.parts(target["candidates"]), training)
        return {"logits": self.products(encoded, v)}

    def products(self, encoded: Any, candidates: Any) -> Any:
        """NRHUB's logits `(B, C)` of the rebuilt vectors of candidates `(B, C, D)`."""
        user = ops.expand_dims(encoded["vector"], -1)
        return ops.squeeze(ops.matmul(self.of_item(candidates), user), axis=-1)

    def logits(self, task, rows, training):
        if self.base == "din":
            return super().logits(task, rows, training)
        return rows["logits"]
