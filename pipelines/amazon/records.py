"""Builds a user's record from reviews, with semi-synthetic searches."""

from typing import NamedTuple

import numpy as np

from pipelines.common.negatives import draw_negatives, user_generator
from pipelines.common.ragged import RaggedTable
from pipelines.common.splits import NO_TARGET, history_ends, leave_one_out
from sar_tf.data.schema import SPLITS, Ragged, UserRecord


class Catalogue(NamedTuple):
    """Data for the records of all users, in dense ids."""

    num_items: int
    item_queries: RaggedTable  # The queries of item 0 (none), 1, …
    query_words: RaggedTable  # The words of query 0 (none), 1, …


def user_record(
    user: int,
    items: np.ndarray,
    timestamps: np.ndarray,
    catalogue: Catalogue,
    seed: int,
) -> UserRecord:
    """Builds a user's record; the same arguments give the same record.

    An interaction is a recommendation behavior. If its item has a query, there is also
    a search, whose only clicked item is that item.

    Args:
        user: Dense id.
        items: [n] dense ids of the items, in chronological order.
        timestamps: [n] never decreasing.
        catalogue: Items' queries and queries' words.
        seed: Seed of the draws of queries and negatives.
    """
    generator = user_generator(seed, user)
    queries = _draw_queries(generator, items, catalogue.item_queries)
    searched = queries > 0
    # A search comes before the click that it led to; both have the same time.
    length = 1 + searched
    rec_at = np.cumsum(length) - 1
    search_at = rec_at[searched] - 1
    timestamp = np.repeat(timestamps, length)
    query = _scattered(rec_at, search_at, queries[searched])
    words = catalogue.query_words.take(query)

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
            generator, catalogue.num_items, user_items, num_evaluated
        ).ravel(),
    )


def _draw_queries(
    generator: np.random.Generator, items: np.ndarray, item_queries: RaggedTable
) -> np.ndarray:
    """[n] one query of each item, 0 if it has none."""
    starts = item_queries.row_splits[items]
    counts = item_queries.row_splits[items + 1] - starts
    drawn = starts + (generator.random(len(items)) * counts).astype(np.int64)
    queries = np.zeros(len(items), np.int64)
    queries[counts > 0] = item_queries.values[drawn[counts > 0]]
    return queries


def _scattered(rec_at: np.ndarray, positions: np.ndarray, values) -> np.ndarray:
    """A column of the sequence: values at the positions, 0 elsewhere."""
    column = np.zeros(rec_at[-1] + 1, np.int64)
    column[positions] = values
    return column
