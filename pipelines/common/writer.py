"""Writes a dataset folder: shards of records, tables, dataset_info.json last."""

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipelines.common.disk import save_arrays, writing
from pipelines.common.negatives import NUM_CANDIDATES
from pipelines.common.progress import progress
from pipelines.common.ragged import RaggedTable
from pipelines.common.vocabulary import SavedIds
from sar_tf.data.dataset_info import DatasetInfo, list_tables, sha256
from sar_tf.data.schema import SPLITS, TASKS, UserRecord, encode_record
from sar_tf.paths import AnyPath


class ShardSummary(NamedTuple):
    """Counts of one shard."""

    num_behaviors: np.ndarray  # (2,) by behavior type
    targets: np.ndarray  # (2, 3) by task and split
    trained: np.ndarray  # (n, 3) task, item, number of training targets; the others: 0
    max_query_words: int
    max_clicked_items: int
    shards: list[dict]  # The entry of dataset_info.json.


@dataclasses.dataclass
class Summary:
    """Counts of the shards merged so far."""

    num_behaviors: np.ndarray  # (2,) by behavior type
    targets: np.ndarray  # (2, 3) by task and split
    popularity: np.ndarray  # (2, num_items + 1) training targets by task and item
    max_query_words: int = 0
    max_clicked_items: int = 0
    shards: list[dict] = dataclasses.field(default_factory=list)

    @classmethod
    def empty(cls, num_items: int) -> "Summary":
        return cls(
            num_behaviors=np.zeros(2, np.int64),
            targets=np.zeros((2, 3), np.int64),
            popularity=np.zeros((2, num_items + 1), np.int64),
        )

    def merge(self, shard: ShardSummary) -> None:
        """Adds a shard; call it in the order of the shards' names."""
        self.num_behaviors += shard.num_behaviors
        self.targets += shard.targets
        task, item, count = shard.trained.T
        self.popularity[task, item] += count
        self.max_query_words = max(self.max_query_words, shard.max_query_words)
        self.max_clicked_items = max(self.max_clicked_items, shard.max_clicked_items)
        self.shards += shard.shards


def sum_up(shards: Iterable[ShardSummary], num_items: int, num_users: int) -> Summary:
    """The sum of shards as they are written, with a progress bar of their users.

    Args:
        shards: In the order of their names.
        num_items: The highest dense item id.
        num_users: Number of users in all shards.
    """
    summary = Summary.empty(num_items)
    with progress("records", num_users, " users") as bar:
        for shard in shards:
            summary.merge(shard)
            bar.update(shard.shards[0]["num_records"])
    return summary


class _Counter:
    """Counts the records of a shard, in memory of the shard's size."""

    def __init__(self):
        self._num_behaviors = np.zeros(2, np.int64)
        self._targets = np.zeros((2, 3), np.int64)
        self._trained: list[np.ndarray] = []
        self._longest = [0, 0]

    def add(self, record: UserRecord) -> None:
        self._num_behaviors += np.bincount(record.type, minlength=2)
        np.add.at(self._targets, (record.target_task, record.target_split), 1)
        train = record.target_split == SPLITS["train"]
        trained = record.target_task[train], record.target_item[train]
        self._trained.append(np.stack(trained, axis=1))
        ragged = record.query_words, record.clicked_items
        for index, rows in enumerate(ragged):
            longest = int(rows.lengths.max(initial=0))
            self._longest[index] = max(self._longest[index], longest)

    def summary(self, shards: list[dict]) -> ShardSummary:
        trained = np.concatenate([np.zeros((0, 2), np.int64), *self._trained])
        pairs, counts = np.unique(trained, axis=0, return_counts=True)
        return ShardSummary(
            self._num_behaviors,
            self._targets,
            np.concatenate([pairs, counts[:, None]], axis=1),
            *self._longest,
            shards,
        )


def shard_name(index: int, num_shards: int) -> str:
    """File name of shard `index`, counted from 0."""
    return f"users-{index:05d}-of-{num_shards:05d}.tfrecord"


def write_shard(
    path: AnyPath, records: Iterable[UserRecord], num_items: int
) -> ShardSummary:
    """Writes the records of some users as one TFRecord file.

    Args:
        path: The shard, see `shard_name`.
        records: In the order of dense users.
        num_items: The highest dense item id.

    Raises:
        ValueError: A record has a higher item id.
        WriteError: The disk is full, or the folder is not writable.
    """
    counter = _Counter()
    num_records = 0
    with _record_writer(path) as writer:
        for record in records:
            if record.user_items.max(initial=0) > num_items:
                raise ValueError(f"user {record.user}: an item is above {num_items}")
            writer.write(encode_record(record))
            counter.add(record)
            num_records += 1
    shard = {
        "file": path.name,
        "num_records": num_records,
        "num_bytes": path.stat().st_size,
        "sha256": sha256(path),
    }
    return counter.summary([shard])


@contextlib.contextmanager
def _record_writer(path: AnyPath) -> Iterator[tf.io.TFRecordWriter]:
    with writing(path):
        try:
            with tf.io.TFRecordWriter(os.fspath(path)) as writer:
                yield writer
        except tf.errors.OpError as error:
            # The text is "file; cause".
            raise OSError(error.message.rpartition("; ")[2]) from error


@dataclasses.dataclass
class Tables:
    """Everything of a dataset except its records.

    A feature is an array of shape [num_owners + 1] with the dense value of each user or
    item (0 unknown, row 0 padding), or a ragged table of num_owners + 1 rows: of dense
    word ids if its name is "caption", else of the values of a multi-valued feature.

    Attributes:
        vocabularies: Vocabularies by name; at least "user", "item" and "word".
        queries: The words of query 0 (none), 1, …
        user_features: Features of users by name.
        item_features: Features of items by name.
    """

    vocabularies: dict[str, SavedIds]
    queries: RaggedTable
    user_features: dict[str, np.ndarray | RaggedTable]
    item_features: dict[str, np.ndarray | RaggedTable]

    def size(self, vocabulary: str) -> int:
        """The highest dense id of a vocabulary; 0 if the dataset has none."""
        return len(self.vocabularies.get(vocabulary, ()))


def write_dataset(
    directory: Path,
    summary: Summary,
    tables: Tables,
    *,
    name: str,
    command: str,
    seed: int,
    split_rule: str,
    tokenizer: str = "",
    num_negatives: int = NUM_CANDIDATES,
) -> DatasetInfo:
    """Writes all files except the shards; dataset_info.json comes last.

    Args:
        directory: The folder that holds the shards.
        summary: Sum of the summaries of all shards.
        tables: The vocabularies, queries and features.
        name: Name of the dataset.
        command: The command that makes the dataset.
        seed: Seed of the job's random draws.
        split_rule: One sentence on how targets were split.
        tokenizer: Name of the tokenizer that finds the words of queries and captions;
            "" for a dataset without texts.
        num_negatives: Stored negatives of each validation and test target.
    """
    directory = Path(directory)
    _write_tables(directory, tables)
    popularity = {task: summary.popularity[index] for task, index in TASKS.items()}
    save_arrays(directory / "popularity.npz", **popularity)
    num_queries = len(tables.queries[1]) - 2
    rec_actions, search_actions = (
        int(summary.num_behaviors[TASKS[task]]) for task in ("rec", "search")
    )
    info = DatasetInfo(
        name=name,
        command=command,
        seed=seed,
        split_rule=split_rule,
        num_users=tables.size("user"),
        num_items=tables.size("item"),
        num_words=tables.size("word"),
        num_queries=num_queries,
        num_search_sources=tables.size("search_source"),
        features={
            "user": _describe(tables.user_features, tables.size("word")),
            "item": _describe(tables.item_features, tables.size("word")),
        },
        max_query_words=summary.max_query_words,
        max_clicked_items=summary.max_clicked_items,
        num_candidates=num_negatives,
        counts={
            "users": tables.size("user"),
            "items": tables.size("item"),
            "queries": num_queries,
            "search_actions": search_actions,
            "rec_actions": rec_actions,
        },
        targets={
            task: {
                split: int(summary.targets[index, column])
                for split, column in SPLITS.items()
            }
            for task, index in TASKS.items()
        },
        num_behaviors=rec_actions + search_actions,
        shards=summary.shards,
        tokenizer=tokenizer,
        tables=list_tables(directory),
    )
    info.save(directory)
    return info


def _write_tables(directory: Path, tables: Tables) -> None:
    (directory / "vocabularies").mkdir()
    for name, vocabulary in tables.vocabularies.items():
        vocabulary.save(directory / "vocabularies" / f"{name}.txt")
    values, row_splits = tables.queries
    save_arrays(directory / "queries.npz", values=values, row_splits=row_splits)
    for owner, features in (
        ("user", tables.user_features),
        ("item", tables.item_features),
    ):
        arrays = {}
        for name, feature in features.items():
            is_ragged = isinstance(feature, tuple)
            rows = len(feature[1]) - 1 if is_ragged else len(feature)
            if rows != tables.size(owner) + 1:
                raise ValueError(
                    f"{owner} feature {name} has {rows} rows, "
                    f"expected {tables.size(owner) + 1}"
                )
            if is_ragged:
                arrays[f"{name}/values"], arrays[f"{name}/row_splits"] = feature
            else:
                arrays[name] = feature
        save_arrays(directory / f"{owner}_features.npz", **arrays)


def _describe(features: dict, num_words: int) -> dict[str, dict]:
    described = {}
    for name, feature in features.items():
        if not isinstance(feature, tuple):
            entry = {"kind": "categorical", "num": int(feature.max(initial=0))}
        elif name == "caption":
            entry = {"kind": "words", "num": num_words}
        else:
            entry = {
                "kind": "multi",
                "num": int(feature.values.max(initial=0)),
                "width": max(int(feature.lengths.max(initial=0)), 1),
            }
        described[name] = entry
    return described
