"""The record of one user: its fields, and functions to write and parse it."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

SCHEMA_VERSION = 2
# Version 1 has no multi-valued features and names no tokenizer.
READABLE_VERSIONS = (1, 2)

REC, SEARCH = 1, 0  # Behavior types, as in the papers.
TASKS = {"rec": REC, "search": SEARCH}
SPLITS = {"train": 0, "validation": 1, "test": 2}


class Ragged(NamedTuple):
    """Rows of different lengths, laid end to end."""

    values: np.ndarray  # [sum of lengths]
    lengths: np.ndarray  # [rows]

    @classmethod
    def from_rows(cls, rows: Iterable[ArrayLike]) -> "Ragged":
        arrays = [np.asarray(row, np.int64) for row in rows]
        lengths = np.array([len(row) for row in arrays], np.int64)
        return cls(np.concatenate([np.zeros(0, np.int64), *arrays]), lengths)

    def rows(self) -> list[np.ndarray]:
        return np.split(self.values, np.cumsum(self.lengths)[:-1])[: len(self.lengths)]


@dataclasses.dataclass
class UserRecord:
    """One user's whole history and the targets cut from it, in dense ids.

    Dense ids start at 1; 0 stands for none. The sequence holds N behaviors of both
    types in chronological order. T behaviors, or items clicked in them, are
    targets. E of the targets belong to the validation and test splits.
    """

    user: int
    type: np.ndarray  # (N,) 1 recommendation, 0 search
    timestamp: np.ndarray  # (N,) in the unit of the raw log, never decreasing
    item: np.ndarray  # (N,) 0 for searches
    query: np.ndarray  # (N,) 0 for recommendations
    search_source: np.ndarray  # (N,) 0 for recommendations
    query_words: Ragged  # N rows, empty for recommendations
    clicked_items: Ragged  # N rows, empty for recommendations
    user_items: np.ndarray  # (M,) every item of this user in any split, sorted
    target_task: np.ndarray  # (T,) 1 recommendation, 0 search
    target_split: np.ndarray  # (T,) 0 train, 1 validation, 2 test
    target_behavior: np.ndarray  # (T,) index into the sequence
    target_item: np.ndarray  # (T,) the positive item
    target_history_end: np.ndarray  # (T,) the history is sequence[:end]
    candidates: np.ndarray  # (E * num_candidates,) stored negatives


# Field -> the kind of its rows. A ragged field is stored as flat values and as the
# lengths of its rows, under "<name>/lengths".
_FLAT_FIELDS = {
    "type": "sequence",
    "timestamp": "sequence",
    "item": "sequence",
    "query": "sequence",
    "search_source": "sequence",
    "user_items": "user_items",
    "target_task": "target",
    "target_split": "target",
    "target_behavior": "target",
    "target_item": "target",
    "target_history_end": "target",
    "candidates": "candidates",
}
_RAGGED_FIELDS = {"query_words": "sequence", "clicked_items": "sequence"}
FIELDS = ("user", *_FLAT_FIELDS, *_RAGGED_FIELDS)


def encode_record(record: UserRecord) -> bytes:
    """Serializes a record to a `tf.train.Example`.

    Raises:
        ValueError: A field contradicts another field; names the user and the field.
    """
    columns = {"user": np.array([record.user], np.int64)}
    for name in _FLAT_FIELDS:
        columns[name] = _as_ids(record, name, getattr(record, name))
    for name in _RAGGED_FIELDS:
        values, lengths = getattr(record, name)
        columns[name] = _as_ids(record, name, values)
        columns[f"{name}/lengths"] = _as_ids(record, f"{name}/lengths", lengths)
    _validate(record, columns)
    features = {
        name: tf.train.Feature(int64_list=tf.train.Int64List(value=column.tolist()))
        for name, column in columns.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def parse_records(serialized: tf.Tensor, fields: Sequence[str] = FIELDS) -> dict:
    """Parses the records of many users at once into flat tensors.

    Args:
        serialized: `(U,)` serialized examples.
        fields: Fields of `UserRecord` to parse; the others cost nothing.

    Returns:
        A dict of int64 tensors, users laid end to end: each field by its name, and
        int32 row splits: "sequence_splits", "user_items_splits", "target_splits"
        and "candidates_splits" `(U + 1,)` from users to their rows, and
        "query_words_splits" and "clicked_items_splits" [number of behaviors + 1].
    """
    features = {}
    for name in fields:
        if name == "user":
            features[name] = tf.io.FixedLenFeature([], tf.int64)
        else:
            partitions = []
            if name in _RAGGED_FIELDS:
                lengths = f"{name}/lengths"
                partitions = [tf.io.RaggedFeature.RowLengths(lengths)]
            features[name] = tf.io.RaggedFeature(
                tf.int64, value_key=name, partitions=partitions
            )
    parsed = tf.io.parse_example(serialized, features)
    flat = {}
    for name, column in parsed.items():
        if name == "user":
            flat[name] = column
        elif name in _RAGGED_FIELDS:
            flat[name] = column.flat_values
            flat[f"{name}_splits"] = column.values.row_splits
            flat[f"{_RAGGED_FIELDS[name]}_splits"] = column.row_splits
        else:
            flat[name] = column.values
            flat[f"{_FLAT_FIELDS[name]}_splits"] = column.row_splits
    return flat


def _as_ids(record: UserRecord, name: str, values) -> np.ndarray:
    values = np.asarray(values)
    integers = np.issubdtype(values.dtype, np.integer) or values.size == 0
    if values.ndim != 1 or not integers:
        raise ValueError(
            f"user {record.user}: {name} must be integers of shape [length], "
            f"got {values.dtype} of shape {list(values.shape)}"
        )
    if values.size and values.min() < 0:
        raise ValueError(f"user {record.user}: {name} holds a negative number")
    return values.astype(np.int64)


def _validate(record: UserRecord, columns: dict[str, np.ndarray]) -> None:
    def require(condition: bool | np.bool, problem: str) -> None:
        if not condition:
            raise ValueError(f"user {record.user}: {problem}")

    require(record.user >= 1, "user must be a dense id, 1 or more")
    counted_by = {"sequence": "type", "target": "target_task"}
    for name, rows in {**_FLAT_FIELDS, **_RAGGED_FIELDS}.items():
        if rows in counted_by:
            column = f"{name}/lengths" if name in _RAGGED_FIELDS else name
            length, expected = len(columns[column]), len(columns[counted_by[rows]])
            require(
                length == expected,
                f"{column} has length {length}, {counted_by[rows]} has {expected}",
            )
    for name in _RAGGED_FIELDS:
        total = int(columns[f"{name}/lengths"].sum())
        require(
            total == len(columns[name]),
            f"{name} has {len(columns[name])} values, its lengths add up to {total}",
        )
    require(np.all(columns["type"] <= 1), "type must be 0 (search) or 1 (rec)")
    is_rec = columns["type"] == REC
    require(
        np.array_equal(columns["item"] > 0, is_rec),
        "item must be set for recommendations and 0 for searches",
    )
    search_only = ("query", "search_source", *(f"{f}/lengths" for f in _RAGGED_FIELDS))
    for name in search_only:
        require(not columns[name][is_rec].any(), f"{name} is set for a recommendation")
    require(np.all(np.diff(columns["timestamp"]) >= 0), "timestamp decreases")
    user_items = columns["user_items"]
    require(
        np.all(np.diff(user_items, prepend=0) > 0),
        "user_items must be dense ids, sorted and unique",
    )
    _validate_targets(columns, require)


def _validate_targets(columns: dict[str, np.ndarray], require) -> None:
    behavior, timestamp = columns["target_behavior"], columns["timestamp"]
    require(np.all(behavior < len(timestamp)), "target_behavior is past the sequence")
    require(np.all(columns["target_split"] <= 2), "target_split must be 0, 1 or 2")
    require(
        np.array_equal(columns["type"][behavior], columns["target_task"]),
        "target_task differs from the type of the target's behavior",
    )
    # A history that reaches the target's timestamp would leak the target.
    require(
        np.array_equal(
            columns["target_history_end"],
            np.searchsorted(timestamp, timestamp[behavior], side="left"),
        ),
        "target_history_end must count the behaviors before the target's timestamp",
    )
    user_items = columns["user_items"]
    require(
        bool(_is_in(columns["target_item"], user_items).all()),
        "target_item is missing from user_items",
    )
    num_evaluated = np.count_nonzero(columns["target_split"])
    num_stored = len(columns["candidates"])
    require(
        num_stored % num_evaluated == 0 if num_evaluated else num_stored == 0,
        f"candidates has {num_stored} values for {num_evaluated} validation and "
        "test targets",
    )
    require(
        not _is_in(columns["candidates"], user_items).any(),
        "candidates holds an item of user_items",
    )


def _is_in(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    left, right = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    return left < right
