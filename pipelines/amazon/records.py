"""Builds a user's record from reviews, with semi-synthetic searches."""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pipelines.amazon.group import Grouped
from pipelines.amazon.logs import load_part
from pipelines.common.disk import open_arrays, save_arrays
from pipelines.common.negatives import draw_negatives, user_generator
from pipelines.common.ragged import RaggedTable
from pipelines.common.splits import NO_TARGET, history_ends, leave_one_out
from pipelines.common.writer import ShardSummary, shard_name, write_shard
from sar_tf.data.schema import SPLITS, Ragged, UserRecord
from sar_tf.paths import AnyPath


class Queries(NamedTuple):
    """The queries of items, in dense ids."""

    of_items: RaggedTable  # The queries of item 0 (none), 1, …
    words: RaggedTable  # The words of query 0 (none), 1, …

    def save(self, work: AnyPath) -> None:
        """Saves them for the job's other processes."""
        arrays = {
            f"{name}_{field}": values
            for name, table in self._asdict().items()
            for field, values in table._asdict().items()
        }
        save_arrays(work / "queries.npz", **arrays)
        Queries.load.cache_clear()  # It can hold those of an earlier job.

    @classmethod
    @functools.lru_cache(maxsize=1)
    def load(cls, work: AnyPath) -> "Queries":
        """Loads what `save` saved, once a process."""
        with open_arrays(work / "queries.npz") as arrays:
            tables = (
                RaggedTable(*(arrays[f"{name}_{key}"] for key in RaggedTable._fields))
                for name in cls._fields
            )
            return cls(*tables)


class Settings(NamedTuple):
    """Settings for the records of all users."""

    num_items: int
    seed: int


def user_record(
    user: int,
    items: np.ndarray,
    timestamps: np.ndarray,
    item_queries: RaggedTable,
    query_words: RaggedTable,
    settings: Settings,
) -> UserRecord:
    """Builds a user's record; the same arguments give the same record.

    An interaction is a recommendation behavior. If its item has a query, there is also
    a search, whose only clicked item is that item.

    Args:
        user: Dense id.
        items: [n] dense ids of the items, in chronological order.
        timestamps: [n] never decreasing.
        item_queries: n rows, the dense queries of each of these items.
        query_words: The dense words of query 0 (none), 1, …
        settings: The same for all users.
    """
    generator = user_generator(settings.seed, user)
    queries = _draw_queries(generator, item_queries)
    searched = queries > 0
    # A search comes before the click that it led to; both have the same time.
    length = 1 + searched
    rec_at = np.cumsum(length) - 1
    search_at = rec_at[searched] - 1
    timestamp = np.repeat(timestamps, length)
    query = _scattered(rec_at, search_at, queries[searched])
    words = query_words.take(query)

    splits = np.repeat(leave_one_out(len(items)), length)
    target_behavior = np.flatnonzero(splits != NO_TARGET)
    target_split = splits[target_behavior]
    user_items = np.unique(items)
    num_evaluated = np.count_nonzero(target_split != SPLITS["train"])
    is_rec = _scattered(rec_at, rec_at, 1)
    return UserRecord(
        user=user,
        type=is_rec,
        timestamp=timestamp,
        item=_scattered(rec_at, rec_at, items),
        query=query,
        search_source=np.zeros(len(timestamp), np.int64),
        query_words=Ragged(words.values, words.lengths),
        clicked_items=Ragged(items[searched], _scattered(rec_at, search_at, 1)),
        user_items=user_items,
        target_task=is_rec[target_behavior],
        target_split=target_split,
        target_behavior=target_behavior,
        target_item=np.repeat(items, length)[target_behavior],
        target_history_end=history_ends(timestamp, target_behavior),
        candidates=draw_negatives(
            generator, settings.num_items, user_items, num_evaluated
        ).ravel(),
    )


def part_records(
    grouped: Grouped,
    users: np.ndarray,
    items: np.ndarray,
    item_queries: RaggedTable,
    query_words: RaggedTable,
    settings: Settings,
) -> Iterator[UserRecord]:
    """Builds the records of some users.

    Args:
        grouped: Their reviews.
        users: Dense ids of `grouped.users`.
        items: Dense ids of `grouped.items`.
        item_queries: The dense queries of each of `grouped.items`.
        query_words, settings: As above.
    """
    bounds = np.searchsorted(grouped.user, np.arange(len(users) + 1))
    for place, user in enumerate(users.tolist()):
        rows = slice(*bounds[place : place + 2])
        item = grouped.item[rows]
        yield user_record(
            user,
            items[item],
            grouped.time[rows],
            item_queries.take(item),
            query_words,
            settings,
        )


def write_part(
    part: int,
    ids: tuple[np.ndarray, np.ndarray],
    num_parts: int,
    work: AnyPath,
    directory: AnyPath,
    settings: Settings,
) -> ShardSummary:
    """Writes the records of one part's users as a shard.

    Args:
        part: Number of the shard.
        ids: Dense ids of the part's users, and of its items.
        num_parts: Number of shards.
        work: Folder of the job's own files, with `Queries`.
        directory: Folder for the shard.
        settings: The same for all parts.
    """
    users, items = ids
    queries = Queries.load(work)
    records = part_records(
        load_part(work, part),
        users,
        items,
        queries.of_items.take(items),
        queries.words,
        settings,
    )
    path = directory / shard_name(part, num_parts)
    return write_shard(path, records, settings.num_items)


def _draw_queries(
    generator: np.random.Generator, item_queries: RaggedTable
) -> np.ndarray:
    """[n] one query of each row, 0 if it has none."""
    counts = item_queries.lengths
    draws = (generator.random(len(counts)) * counts).astype(np.int64)
    queries = np.zeros(len(counts), np.int64)
    drawn = (item_queries.row_splits[:-1] + draws)[counts > 0]
    queries[counts > 0] = item_queries.values[drawn]
    return queries


def _scattered(rec_at: np.ndarray, positions: np.ndarray, values) -> np.ndarray:
    """A column of the sequence: values at the positions, 0 elsewhere."""
    column = np.zeros(rec_at[-1] + 1, np.int64)
    column[positions] = values
    return column
