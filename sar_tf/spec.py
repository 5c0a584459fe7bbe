"""The sizes of a dataset, and the one description of a batch: every input of a model.

The input pipeline, the exported signatures, the batch that builds a model, random
batches and the tests are made from `INPUTS`. A batch is

    {"history": {name: (H, ...)}, task: {name: (B, ...)}, ...}

Target row b of a task reads history `history_row[b]`; targets of both tasks may share
one. Dense ids start at 1; 0 is padding or unknown. A model reads an id that it does not
know (negative, or above the highest) as 0.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

TASKS = ("rec", "search")


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
    fingerprint: str = ""

    @property
    def feature_names(self) -> dict[str, tuple[str, ...]]:
        """Names of the feature tables of users and of items."""
        captions = ("caption",) if self.caption_length else ()
        return {
            "user": tuple(self.user_features),
            "item": (*self.item_features, *captions),
        }


@dataclasses.dataclass(frozen=True)
class Input:
    """One array of a batch.

    Attributes:
        name: Its key.
        part: "history" (one row a history), "groups" (how the histories are laid
            out), "row" (one row a target), "label" (one row a target, in training
            alone: what its losses read), "draw" (what the training losses draw or
            list; one a task and step).
        axes: Its axes. Those that `axis_sizes` knows have a fixed size.
        meaning: One sentence.
        dtype: Its type.
        tasks: The tasks that have it.
        is_always_there: Whether every batch has it, whatever the model needs.
    """

    name: str
    part: str
    axes: tuple[str, ...]
    meaning: str
    dtype: str = "int32"
    tasks: tuple[str, ...] = TASKS
    is_always_there: bool = False


_HISTORY = (
    Input("rec_items", "history", ("H", "Nr"), "Items of the clicked recommendations."),
    Input(
        "rec_positions",
        "history",
        ("H", "Nr"),
        "Rank of each recommendation in time among all behaviors of the history.",
    ),
    Input("search_queries", "history", ("H", "Ns"), "Query of each search."),
    Input("search_words", "history", ("H", "Ns", "W"), "Words of each search's query."),
    Input(
        "clicked_items", "history", ("H", "Ns", "K"), "Items clicked in each search."
    ),
    Input("search_sources", "history", ("H", "Ns"), "Where each search was started."),
    Input("search_mask", "history", ("H", "Ns"), "Slots that hold a search.", "bool"),
    Input(
        "search_positions",
        "history",
        ("H", "Ns"),
        "Rank of each search in time among all behaviors of the history.",
    ),
)
_GROUPS = (
    Input(
        "group_ends",
        "groups",
        ("G",),
        "End of each group of consecutive histories of like length.",
        is_always_there=True,
    ),
    Input(
        "rec_widths",
        "groups",
        ("G",),
        "Recommendation slots that a group uses; those behind are empty.",
        is_always_there=True,
    ),
    Input(
        "search_widths",
        "groups",
        ("G",),
        "Search slots that a group uses; those behind are empty.",
        is_always_there=True,
    ),
)
_ROW = (
    Input(
        "candidates",
        "row",
        ("B", "C"),
        "Items to score, in training and evaluation the positive first.",
        is_always_there=True,
    ),
    Input(
        "history_row",
        "row",
        ("B",),
        "Row of the target's history among the batch's histories.",
        is_always_there=True,
    ),
    Input(
        "is_target",
        "row",
        ("B",),
        "False in rows that only fill up a batch of fixed size.",
        "bool",
        is_always_there=True,
    ),
    Input("user", "row", ("B",), "Whose target it is."),
    Input("query", "row", ("B",), "Query of the target.", tasks=("search",)),
    Input(
        "query_words",
        "row",
        ("B", "W"),
        "Words of the target's query.",
        tasks=("search",),
    ),
)
_LABEL = (
    Input(
        "item_words",
        "label",
        ("B", "W"),
        "Words of the positive's text: its caption, or where items have none the "
        "target's query.",
        tasks=("search",),
    ),
    Input(
        "similar_items",
        "label",
        ("B", "Ns", "K"),
        "For each clicked item of the target's history another one of its category, or "
        "where items have none of its training queries; 0 where there is none.",
        tasks=("search",),
    ),
    Input("target_query", "label", ("B",), "The target's query.", tasks=("search",)),
    Input("target_user", "label", ("B",), "The target's user.", tasks=("search",)),
)
_DRAW = (
    Input(
        "sequence_items",
        "draw",
        ("Q", "Nr+1"),
        "Newest items, the target's last, of the users whose last target is in the "
        "step: one sequence a user and epoch.",
        tasks=("rec",),
    ),
    Input(
        "sequence_negatives",
        "draw",
        ("Q", "Nr+1"),
        "For each of these an item drawn from those that the user never touched.",
        tasks=("rec",),
    ),
    Input("sampled_items", "draw", ("S",), "Items drawn uniformly."),
    Input(
        "sampled_words",
        "draw",
        ("S",),
        "Words drawn by how often texts have them, to the power 0.75.",
        tasks=("search",),
    ),
    Input("sampled_queries", "draw", ("S",), "Queries drawn uniformly."),
    Input("sampled_query_words", "draw", ("S", "W"), "Words of the drawn queries."),
    Input(
        "pair_items",
        "draw",
        ("P",),
        "Clicked items of the (query, clicked item) pairs in the targets' histories.",
    ),
    Input("pair_queries", "draw", ("P",), "Queries of these pairs."),
    Input("pair_query_words", "draw", ("P", "W"), "Words of these queries."),
    Input(
        "pair_counts",
        "draw",
        ("P",),
        "How often each pair occurs; 0 where it only fills up.",
        "float32",
    ),
)

INPUTS: dict[str, Input] = {
    entry.name: entry for entry in (*_HISTORY, *_GROUPS, *_ROW, *_LABEL, *_DRAW)
}
ROW_PARTS = ("row", "label")  # Those with one row a target.
ALL_NEEDS = tuple(entry.name for entry in INPUTS.values() if not entry.is_always_there)


def axis_sizes(spec: DataSpec) -> dict[str, int]:
    """Size of each axis that a dataset fixes."""
    return {
        "Nr": spec.max_rec_history,
        "Nr+1": spec.max_rec_history + 1,
        "Ns": spec.max_search_history,
        "W": spec.max_query_words,
        "K": spec.max_clicked_items,
    }


def check_needs(needs: Collection[str]) -> tuple[str, ...]:
    """The needs as a tuple.

    Raises:
        ValueError: A name is not in the batch table.
    """
    unknown = sorted(set(needs) - set(ALL_NEEDS))
    if unknown:
        raise ValueError(
            f"needs names {', '.join(unknown)}; a batch has {', '.join(ALL_NEEDS)}"
        )
    return tuple(needs)


def inputs_of(
    parts: Collection[str], needs: Collection[str], task: str | None = None
) -> list[Input]:
    """The inputs of some parts of a batch that a model needs.

    Args:
        parts: Of "history", "groups", "row", "label" and "draw".
        needs: Names of the inputs that a model reads.
        task: Whose rows or draws they are; None for histories.
    """
    return [
        entry
        for entry in INPUTS.values()
        if entry.part in parts
        and (entry.is_always_there or entry.name in needs)
        and (task is None or task in entry.tasks)
    ]


def reads_history(needs: Collection[str]) -> bool:
    """Whether a model reads histories at all."""
    return any(INPUTS[name].part == "history" for name in needs)


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
