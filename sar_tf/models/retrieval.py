"""Vectors of targets and items, by which the served model finds its candidates."""

from collections.abc import Callable, Mapping
from typing import Any

from keras import ops

from sar_tf.layers.retrieval import RetrievalHead
from sar_tf.models.inputs import select
from sar_tf.spec import DataSpec

RETRIEVAL_LOSS = "retrieval_loss"


class Retrieval:
    """The part of `sar_tf.models.Model` that is about retrieval.

    A model has a `retrieval_head` where its weight is above 0. Models of dot products
    have vectors of their own instead.
    """

    # Whether the score itself is a product of the vectors.
    has_own_vectors = False
    retrieval_head: Any = None

    spec: DataSpec
    needs: tuple[str, ...]
    tasks: tuple[str, ...]
    loss_weights: dict[str, float]
    encode_items: Callable[..., Any]
    encode_target: Callable[..., dict[str, Any]]

    def item_vectors(self, items: Any) -> Any:
        """Vectors of items for retrieval: `(...) -> (..., U)`."""
        return self.retrieval_head.item_vectors(self.encode_items(items))

    def target_vectors(self, task: str, batch: Mapping[str, Any]) -> Any:
        """Vectors of targets for retrieval, `(B, U)`.

        Args:
            task: The targets' task.
            batch: `{"history": …, task: …}` without groups; it may be without
                candidates.
        """
        inputs = {"candidates": ops.zeros((1, 1), "int32"), **batch[task]}
        batch = {**batch, task: inputs}
        batch = select(batch, self.spec, self.needs, self.tasks)
        return self._target_vectors(
            task,
            batch.get("history"),
            batch[task]["history_row"],
            {**self.encode_target(batch[task]), "ids": batch[task]},
        )

    def _target_vectors(self, task, history, history_row, target):
        """The head's vectors: of the query, the user and the items clicked before."""
        parts = [target[name] for name in ("query", "user") if name in target]
        for name in ("rec_items", "clicked_items"):
            if history is not None and name in history:
                items = history[name]
                mean = _mean_vector(self.encode_items(items), items > 0)
                parts.append(ops.take(mean, history_row, axis=0))
        return self.retrieval_head(parts, task=task)

    def _add_retrieval_head(self, weight, units):
        if not weight:
            return
        if self.has_own_vectors:
            raise ValueError(
                f"retrieval_weight={weight}: a {type(self).__name__} retrieves by its "
                "own vectors; leave it 0"
            )
        self.retrieval_head = RetrievalHead(
            units, self.spec.num_items, self.tasks, name="retrieval_head"
        )
        self.loss_weights[RETRIEVAL_LOSS] = weight

    def _retrieval_loss(self, task, vectors, inputs, is_target):
        items = inputs["candidates"][:, 0]
        positives = self.item_vectors(items)
        terms = self.retrieval_head.loss(task, vectors, positives, items, is_target)
        return {RETRIEVAL_LOSS: (terms,)}

    def _set_tables(self, tables):
        super()._set_tables(tables)
        if self.retrieval_head is None:
            return
        if not tables or "popularity" not in tables:
            raise ValueError(
                "retrieval_weight needs the popularity of items: pass "
                "tables=data.tables"
            )
        self.retrieval_head.set_popularity(tables["popularity"])


def _mean_vector(vectors, mask):
    """Mean of `(H, ..., D)` over all axes between, where the mask is true."""
    axes = tuple(range(1, len(mask.shape)))
    weights = ops.expand_dims(ops.cast(mask, vectors.dtype), -1)
    return ops.sum(vectors * weights, axis=axes) / ops.maximum(
        ops.sum(weights, axis=axes), 1.0
    )
