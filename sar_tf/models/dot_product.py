"""Models whose score is a dot product, so that the best items can be looked up."""

from typing import Any

from keras import ops

from sar_tf.layers import replicas
from sar_tf.layers.look_up import look_up
from sar_tf.models.base import Model
from sar_tf.models.groups import take_rows

NO_NEGATIVE = -1e30


class DotProductModel(Model):
    """A model that scores a candidate by the product of two vectors.

    `logit = <vector, e(candidate)>`. A subclass implements `vector`, which does not
    see the candidates; the candidate's vector is the item encoder's. After
    `add_item_bias` the logit has the summand b(candidate): the candidate's vector is
    `[e ; b]`, and `vector` ends with a 1, which `with_one` appends.
    """

    has_own_vectors = True
    item_bias: Any = None

    def add_item_bias(self) -> None:
        """Gives each item a bias, 0 at first. Its name exempts it from L2."""
        self.item_bias = self.add_weight(
            name="item_bias", shape=(self.spec.num_items + 1,), initializer="zeros"
        )

    def with_one(self, vector: Any) -> Any:
        """`(..., D) -> (..., D + 1)`, with a 1 for the item's bias, where there is one.

        Args:
            vector: `(..., D)`, to be multiplied by the items' vectors.
        """
        if self.item_bias is None:
            return vector
        return ops.concatenate([vector, ops.ones_like(vector[..., :1])], axis=-1)

    def encode_candidates(self, items: Any) -> Any:
        """`e`, or `[e ; b]`, of items: `(...) -> (..., D)` or `(..., D + 1)`."""
        vectors = self.encode_items(items)
        if self.item_bias is None:
            return vectors
        bias = look_up(self.item_bias.value, items)[..., None]
        return ops.concatenate([vectors, ops.cast(bias, vectors.dtype)], axis=-1)

    def vector(
        self, task: str, encoded: Any, target: dict[str, Any], training: bool
    ) -> Any:
        """The vector `(B, D)` of each target; arguments as those of `read`."""
        raise NotImplementedError(f"{type(self).__name__} has no method vector")

    def read_target(
        self, task: str, encoded: Any, target: dict[str, Any], training: bool
    ) -> dict[str, Any]:
        """{"vector": …}, and in training what else of each target the losses read."""
        return {"vector": self.vector(task, encoded, target, training)}

    def read(
        self, task: str, encoded: Any, target: dict[str, Any], training: bool
    ) -> dict[str, Any]:
        return {
            **self.read_target(task, encoded, target, training),
            "candidates": target["candidates"],
            "positive": target["ids"]["candidates"][:, 0],
        }

    def logits(self, task: str, rows: dict[str, Any], training: bool) -> Any:
        vector = ops.expand_dims(rows["vector"], -1)
        return ops.squeeze(ops.matmul(rows["candidates"], vector), axis=-1)

    def logits_among(self, rows: dict[str, Any], vectors: Any, items: Any) -> Any:
        """The positive's score before those of items that all rows share.

        For losses whose negatives are other than the candidates.

        Args:
            rows: As those of `logits`.
            vectors: `(S, D)`, what `encode_candidates` gives of the items.
            items: int `(S,)`; 0 and a row's positive are no negatives of the row.

        Returns:
            `(B, 1 + S)`; those of what is no negative are below `NO_NEGATIVE`.
        """
        vector = rows["vector"]
        own = ops.sum(vector * rows["candidates"][:, 0], axis=-1, keepdims=True)
        others = ops.matmul(vector, ops.transpose(vectors))
        is_negative = (items[None, :] != rows["positive"][:, None]) & (items > 0)
        others = ops.where(is_negative, others, 2 * NO_NEGATIVE)
        return ops.concatenate([own, others], axis=1)

    def logits_among_positives(self, rows: dict[str, Any]) -> Any:
        """`logits_among` the positives of the batch, those of all replicas.

        Args:
            rows: As those of `logits`.

        Returns:
            `(B, 1 + B)`, with the B of all replicas in the last axis.
        """
        gather = replicas.active().gather
        vectors = gather(rows["candidates"][:, 0])
        return self.logits_among(rows, vectors, gather(rows["positive"]))

    def item_vectors(self, items: Any) -> Any:
        return self.encode_candidates(items)

    def _target_vectors(self, task, history, history_row, target):
        encoded = {}
        if history is not None:
            encoded = self.encode_history(history, training=False)
            encoded = take_rows(encoded, history_row)
        return self.read_target(task, encoded, target, training=False)["vector"]
