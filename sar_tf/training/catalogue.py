"""Scores of every item of the catalogue for many targets, in bounded memory."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from sar_tf.inputs import INPUTS
from sar_tf.models import Model
from sar_tf.models.catalogue import (
    NUM_RANKED,
    of_all_items,
    prepare_targets,
    score_items,
)
from sar_tf.needs import inputs_of, reads_history
from sar_tf.spec import axis_sizes

# Scores that are computed together: their arrays have room in a processor's cache.
_ROWS, _SCORES = 16, 1 << 13
# Axis of a history -> the input that tells which of its slots are used.
_USED = {"Nr": "rec_items", "Ns": "search_mask"}


class Scored(NamedTuple):
    """Some targets of a batch with the scores of all items.

    Attributes:
        rows: `(R,)`, places of the targets in the batch.
        scores: float32 `(R, num_items + 1)`, as `Model.predict` gives them; that of
            item 0 means nothing.
        closeness: float32 `(R, num_items + 1)`, the products of the retrieval head's
            vectors; None without a head.
    """

    rows: np.ndarray
    scores: np.ndarray
    closeness: np.ndarray | None


class CatalogueScorer:
    """Scores all items: each item is encoded once, and each target's history once.

    Targets of like history length are scored together, some items at a time, so that
    memory does not grow with the number of targets, and with that of items only by
    their vectors and a few scores each.

    Args:
        model: The model, whose weights do not change any more.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._vectors = of_all_items(model, tf.function(model.encode_candidates))
        self._item_vectors = None
        if model.retrieval_head is not None:
            self._item_vectors = _item_vectors(model)
        self._functions = {task: self._trace(task) for task in model.tasks}

    def _trace(self, task):
        """Functions of any number of targets and items, each traced once."""
        model = self._model

        @tf.function
        def prepare(part):
            closeness = []  # Of the head, where there is one.
            if self._item_vectors is not None:
                closeness = [_closeness(model, task, part, self._item_vectors)]
            return prepare_targets(model, task, part), closeness

        @tf.function
        def score(prepared, vectors):
            return score_items(model, task, prepared, vectors)

        prepare = prepare.get_concrete_function(_signature(model, task))
        prepared, _ = tf.nest.map_structure(_spec_of, prepare.structured_outputs)
        vectors = tf.TensorSpec([None, self._vectors.shape[1]], self._vectors.dtype)
        return prepare, score.get_concrete_function(prepared, vectors)

    def score(
        self, task: str, batch: Mapping[str, Mapping[str, Any]], rows: np.ndarray
    ) -> Iterator[Scored]:
        """The scores of some targets of a batch, a few targets at a time.

        Args:
            task: The targets' task.
            batch: A batch with "rec_items" and "search_mask", where the model reads
                histories.
            rows: Places of the targets to score.
        """
        for own, part in _parts(self._model, task, batch, rows):
            yield Scored(own, *self._all_items(task, part))

    def _all_items(self, task, part):
        prepare, score = self._functions[task]
        prepared, closeness = prepare(part)
        items = _SCORES // len(part[task]["history_row"])
        scores = [
            score(prepared, self._vectors[start : start + items]).numpy()
            for start in range(0, len(self._vectors), items)
        ]
        scores = np.concatenate(scores, axis=1)
        return scores, closeness[0].numpy() if closeness else None


class Ranked(NamedTuple):
    """Some targets of a batch with the items that retrieval finds.

    Attributes:
        rows: `(R,)`, places of the targets in the batch.
        items: int `(R, N)`; 0 where fewer items are left.
        scores: float32 `(R, N)`, as `Model.predict` gives them; -1 where items are 0.
    """

    rows: np.ndarray
    items: np.ndarray
    scores: np.ndarray


class RetrievedScorer:
    """Scores the items that a retrieval head finds, as the served model does.

    Args:
        model: A model with a retrieval head, whose weights do not change any more.
        task: The targets' task.
        num_ranked: Items that the head finds.
    """

    def __init__(self, model: Model, task: str, num_ranked: int = NUM_RANKED) -> None:
        self._model, self._task = model, task
        self._number = min(num_ranked, model.spec.num_items)
        self._item_vectors = _item_vectors(model)
        self._embeddings = of_all_items(model, tf.function(model.encode_items))

        @tf.function
        def closeness(part):
            return _closeness(model, task, part, self._item_vectors)

        @tf.function
        def score(part, candidates):
            with model.items_from(self._embeddings):
                inputs = {**part[task], "candidates": candidates}
                return model.score(task, {**part, task: inputs})

        specs = _signature(model, task)
        self._closeness = closeness.get_concrete_function(specs)
        items = tf.TensorSpec([None, None], tf.int32)
        self._score = score.get_concrete_function(specs, items)

    def score(
        self,
        batch: Mapping[str, Mapping[str, Any]],
        rows: np.ndarray,
        excluded: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    ) -> Iterator[Ranked]:
        """The items of some targets of a batch, a few targets at a time.

        Args:
            batch: As in `CatalogueScorer.score`.
            rows: Places of the targets to score.
            excluded: For places of targets `(M,)` rows and `(M,)` items that are left
                out.
        """
        for own, part in _parts(self._model, self._task, batch, rows):
            closeness = self._closeness(part).numpy()
            closeness[:, 0] = -np.inf
            closeness[excluded(own)] = -np.inf
            last = self._number - 1
            items = np.argpartition(-closeness, last, axis=1)[:, : self._number]
            is_left = np.take_along_axis(closeness, items, axis=1) > -np.inf
            items = np.where(is_left, items, 0).astype(np.int32)
            scores = self._score(part, tf.constant(items)).numpy()
            yield Ranked(own, items, np.where(items > 0, scores, -1.0))


def _item_vectors(model):
    """float32 `(D, num_items + 1)`: the retrieval head's vectors of all items."""
    vectors = of_all_items(model, tf.function(model.item_vectors))
    return tf.transpose(tf.cast(vectors, tf.float32))


def _closeness(model, task, part, item_vectors):
    """float32 `(B, num_items + 1)`: products of targets' vectors and the items'."""
    vectors = tf.cast(model.target_vectors(task, part), tf.float32)
    return tf.matmul(vectors, item_vectors)


def _parts(model, task, batch, rows):
    """Some targets of like history length at a time: their places, and their batch."""
    history = {
        name: np.asarray(x)
        for name, x in batch.get("history", {}).items()
        if INPUTS[name].part == "history"
    }
    inputs = {name: np.asarray(x) for name, x in batch[task].items()}
    if history:
        longest = np.maximum(*_lengths(history).values())
        places = inputs["history_row"][rows]
        rows = rows[np.argsort(longest[places], kind="stable")]
    for start in range(0, len(rows), _ROWS):
        own = rows[start : start + _ROWS]
        yield own, _part(model, task, history, inputs, own)


def _part(model, task, history, inputs, rows):
    """The batch of some targets, each with its own history, as short as can be."""
    places = inputs["history_row"][rows]
    own = {name: x[places] for name, x in history.items()}
    if own and model.trims_history:
        own = _trimmed(own)
    inputs = {name: x[rows] for name, x in inputs.items()}
    inputs["history_row"] = np.arange(len(rows), dtype=np.int32)
    arrays = {"history": own, task: inputs}
    return {
        part: {n: tf.constant(arrays[part][n]) for n in specs}
        for part, specs in _signature(model, task).items()
    }


def with_more_needs(needs: Collection[str]) -> tuple[str, ...]:
    """A model's needs with what `CatalogueScorer.score` and its callers read beside.

    Args:
        needs: Those of the model.
    """
    used = _USED.values() if reads_history(needs) else ()
    return tuple(sorted({*needs, "user", *used}))


def _signature(model, task):
    """What a model reads of a batch without draws, of any size, without candidates."""
    sizes = axis_sizes(model.spec)
    if model.trims_history:
        sizes = {n: size for n, size in sizes.items() if n not in _USED}
    wanted = {
        "history": inputs_of(("history",), model.needs),
        task: inputs_of(("row",), model.needs, task),
    }
    return {
        part: {
            entry.name: tf.TensorSpec([sizes.get(a) for a in entry.axes], entry.dtype)
            for entry in entries
            if entry.name not in ("candidates", "is_target")
        }
        for part, entries in wanted.items()
        if entries
    }


def _spec_of(tensor):
    return tf.TensorSpec(tensor.shape, tensor.dtype)


def _lengths(history):
    """Number of used slots of each history, by axis."""
    return {axis: (history[name] > 0).sum(axis=1) for axis, name in _USED.items()}


def _trimmed(history):
    """Histories as wide as the longest of them; each kind has a width of its own."""
    widths = {axis: max(x.max(), 1) for axis, x in _lengths(history).items()}
    return {
        name: array[:, : widths[INPUTS[name].axes[1]]]
        for name, array in history.items()
    }
