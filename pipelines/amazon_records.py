"""From one user's interactions to a record, with semi-synthetic searches."""

from typing import NamedTuple

import numpy as np

from pipelines.negatives import draw_negatives, user_generator
from pipelines.splits import NO_TARGET, history_ends, leave_one_out
from sar_tf.data.schema import SPLITS, Ragged, UserRecord


class Catalogue(NamedTuple):
    """What the records of all users are made with; ragged tables by dense id."""

    num_items: int
    item_queries: np.ndarray  # Dense ids of the queries of item 0 (none), 1, …
    item_queries_splits: np.ndarray  # [num_items + 2]
    query_words: np.ndarray  # Dense ids of the words of query 0 (none), 1, …
    query_words_splits: np.ndarray  # [num_queries + 2]


def user_record(
    user: int,
    items: np.ndarray,
    timestamps: np.ndarray,
    catalogue: Catalogue,
    seed: int,
) -> UserRecord:
    """Builds a user's record; the same arguments give the same record.

    An interaction with an item that has a query is a search, whose one clicked item
    is that item, and a recommendation behavior; else the latter alone.

    Args:
        user: Dense id.
        items: [n] dense ids of the items, in chronological order.
        timestamps: [n] never decreasing.
        catalogue: Items' queries and queries' words.
        seed: Of the draws of queries and negatives.
    """
    generator = user_generator(seed, user)
    queries = _draw_queries(generator, items, catalogue)
    searched = queries > 0
    # The search goes before the click that it led to; both have the same time.
    length = 1 + searched
    rec_at = np.cumsum(length) - 1
    search_at = rec_at[searched] - 1
    timestamp = np.repeat(timestamps, length)
    clicked = Ragged(items[searched], _scattered(rec_at, search_at, 1))

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
        query=_scattered(rec_at, search_at, queries[searched]),
        search_source=np.zeros(len(timestamp), np.int64),
        query_words=_words_of(queries[searched], rec_at, search_at, catalogue),
        clicked_items=clicked,
        user_items=user_items,
        target_task=is_rec[target_behavior],
        target_split=target_split,
        target_behavior=target_behavior,
        target_item=np.repeat(items, length)[target_behavior],
        target_history_end=history_ends(timestamp, target_behavior),
        candidates=draw_negatives(
            generator, catalogue.num_items, user_items, num_evaluated
        ).ravel(),
    )


def _draw_queries(
    generator: np.random.Generator, items: np.ndarray, catalogue: Catalogue
) -> np.ndarray:
    """[n] one query of each item, 0 where it has none."""
    starts = catalogue.item_queries_splits[items]
    counts = catalogue.item_queries_splits[items + 1] - starts
    drawn = starts + (generator.random(len(items)) * counts).astype(np.int64)
    queries = np.zeros(len(items), np.int64)
    queries[counts > 0] = catalogue.item_queries[drawn[counts > 0]]
    return queries


def _scattered(rec_at: np.ndarray, positions: np.ndarray, values) -> np.ndarray:
    """A column of the sequence: values at the positions, 0 elsewhere."""
    column = np.zeros(rec_at[-1] + 1, np.int64)
    column[positions] = values
    return column


def _words_of(
    queries: np.ndarray,
    rec_at: np.ndarray,
    search_at: np.ndarray,
    catalogue: Catalogue,
) -> Ragged:
    splits = catalogue.query_words_splits
    starts, lengths = splits[queries], splits[queries + 1] - splits[queries]
    # The words of all queries end to end: each row's start, then steps of one.
    ends = np.cumsum(lengths)
    within = np.arange(lengths.sum()) - np.repeat(ends - lengths, lengths)
    words = catalogue.query_words[np.repeat(starts, lengths) + within]
    return Ragged(words, _scattered(rec_at, search_at, lengths))
