"""The sizes of a dataset, and batches of these sizes."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from sar_tf.inputs import INPUTS, ROW_PARTS, Input
from sar_tf.needs import inputs_of, reads_history


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """Sizes of a dataset that a model's weights depend on.

    Every `num_…` is the highest dense id, so that its embedding table has one row
    more: row 0 stands for padding and for what is unknown.

    Attributes:
        max_rec_history, max_search_history: Slots of a history.
        max_query_words: Words W of a query.
        max_clicked_items: Clicked items K of a search.
        user_features, item_features: Highest id of each categorical feature; of a
            multi-valued feature, a list of its highest id and its most values.
        caption_length: Words of an item's caption; 0 where items have none.
        max_item_queries: Queries that led to an item which a model reads.
        max_neighbors: Clicks of a user which a model of the graph of clicks reads.
        session_minutes: Longest time between two behaviors of one session.
        fingerprint: What the dense ids stand for, as `SequenceDataset.fingerprint`;
            "" where that is unknown.
    """

    num_users: int
    num_items: int
    num_words: int
    num_queries: int
    num_search_sources: int
    max_rec_history: int
    max_search_history: int
    max_query_words: int
    max_clicked_items: int
    user_features: dict[str, int | list[int]] = dataclasses.field(default_factory=dict)
    item_features: dict[str, int | list[int]] = dataclasses.field(default_factory=dict)
    caption_length: int = 0
    max_item_queries: int = 3
    max_neighbors: int = 25
    session_minutes: int = 30
    fingerprint: str = ""

    @property
    def feature_names(self) -> dict[str, tuple[str, ...]]:
        """Names of the feature tables of users and of items."""
        captions = ("caption",) if self.caption_length else ()
        return {
            "user": tuple(self.user_features),
            "item": (*self.item_features, *captions),
        }


def axis_sizes(spec: DataSpec) -> dict[str, int]:
    """Size of each axis that a dataset fixes."""
    return {
        "Nr": spec.max_rec_history,
        "Nr+1": spec.max_rec_history + 1,
        "Ns": spec.max_search_history,
        "W": spec.max_query_words,
        "K": spec.max_clicked_items,
        "Z": spec.max_item_queries,
        "M": spec.max_neighbors,
    }


def make_batch(
    spec: DataSpec,
    tasks: Collection[str],
    needs: Collection[str],
    make: Callable[[Input, tuple[int, ...]], Any],
    sizes: dict[str, int],
    parts: Collection[str] = ("history", "groups", *ROW_PARTS, "draw"),
) -> dict[str, dict[str, Any]]:
    """A batch of arrays that a function makes.

    Args:
        spec: Sizes of the dataset.
        tasks: Tasks of the batch.
        needs: Inputs that the model reads.
        make: From an input and its shape to an array.
        sizes: Of the axes H, G, B, C, S, P and Q.
        parts: Parts of the batch; without "label" and "draw" it is one of evaluation.
    """
    sizes = {**axis_sizes(spec), **sizes}

    def arrays(wanted, task=None):
        return {
            entry.name: make(entry, tuple(sizes[axis] for axis in entry.axes))
            for entry in inputs_of(set(parts) & set(wanted), needs, task)
        }

    batch = {}
    if reads_history(needs):
        batch["history"] = arrays(("history", "groups"))
    for task in tasks:
        batch[task] = arrays((*ROW_PARTS, "draw"), task)
    return batch


def empty_batch(
    spec: DataSpec, tasks: Collection[str], needs: Collection[str]
) -> dict[str, dict[str, np.ndarray]]:
    """A training batch without any row: its shapes create a model's weights."""
    sizes = {"H": 0, "G": 1, "B": 0, "C": 2, "S": 1, "P": 0, "Q": 0}
    return make_batch(
        spec, tasks, needs, lambda entry, shape: np.zeros(shape, entry.dtype), sizes
    )


def describe_batch(batch: Mapping[str, Mapping[str, Any]]) -> str:
    """A batch as a table of text: each array's name, shape, type and meaning.

    Args:
        batch: As `data.train()` gives it.

    Example:

    >>> batch = {"rec": {"user": np.array([3, 5], "int32")}}
    >>> print(describe_batch(batch))
    rec
      user                 (2,)            int32    Whose target it is.
    """
    lines = []
    for part, arrays in batch.items():
        lines.append(part)
        for name, array in arrays.items():
            shape = ", ".join(map(str, array.shape)) + "," * (len(array.shape) == 1)
            dtype = np.dtype(getattr(array.dtype, "as_numpy_dtype", array.dtype))
            lines.append(
                f"  {name:<20} {f'({shape})':<15} {dtype.name:<8} "
                f"{INPUTS[name].meaning}"
            )
    return "\n".join(lines)
