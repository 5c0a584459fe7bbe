"""Models that read the queries that led to an item as its instrumental variables."""

from typing import Any

from keras import ops

from sar_tf.layers.activation_unit import ActivationUnit
from sar_tf.models.encoders import ItemEncoder, add_item_encoder, add_query_encoder
from sar_tf.models.network_head import NetworkHeadModel
from sar_tf.models.training_tables import (
    add_training_tables,
    encode_query_ids,
    require_of_training,
)


class InstrumentModel(NetworkHeadModel):
    """DIN on items that a subclass rebuilds from their vectors and their queries'.

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
        embedding_dim: int,
        hidden_dim: int,
        attention_units: tuple[int, ...],
        prediction_units: tuple[int, ...],
        item_encoder: ItemEncoder,
    ) -> None:
        """Makes the encoders, the tables and DIN; arguments as DIN's.

        Raises:
            ValueError: The dataset's queries have no words.
        """
        add_query_encoder(self, embedding_dim, hidden_dim)
        add_item_encoder(self, item_encoder, embedding_dim, hidden_dim)
        add_training_tables(self, "item_queries")
        self.activation_unit = ActivationUnit(
            attention_units, "dice", name="activation_unit"
        )
        self.add_head(prediction_units, False, embedding_dim, hidden_dim)

    def rebuild(self, item: Any, queries: Any, training: bool) -> Any:
        """What DIN has in place of an item's vector.

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
        return {"items": rebuilt, "mask": items > 0}

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
