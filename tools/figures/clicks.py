"""The clicks of a dataset's users, in the order of time."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.records import iterate_blocks
from sar_tf.data.schema import REC, parse_records

_FIELDS = ("user", "type", "timestamp", "item", "query", "clicked_items")


class Clicks(NamedTuple):
    """Clicked items of many users, user by user, each in the order of the record.

    The clicks of one search follow each other. A search without clicks has no row.
    """

    user: np.ndarray  # (clicks,) dense id
    behavior: np.ndarray  # (clicks,) index of the behavior; equal for one search
    is_rec: np.ndarray  # (clicks,) whether the item was recommended
    time: np.ndarray  # (clicks,) never decreases within a user
    item: np.ndarray  # (clicks,) dense id
    query: np.ndarray  # (clicks,) dense id; 0 for recommendations


def read_clicks(dataset: SequenceDataset) -> Iterator[Clicks]:
    """All clicks of a dataset, a block of users at a time.

    Raises:
        DatasetError: A shard is damaged.
    """
    for serialized in iterate_blocks(dataset):
        flat = {k: v.numpy() for k, v in parse_records(serialized, _FIELDS).items()}
        is_rec = flat["type"] == REC
        number = np.where(is_rec, 1, np.diff(flat["clicked_items_splits"]))
        behavior = np.repeat(np.arange(len(number)), number)
        item = np.zeros(len(behavior), np.int64)
        item[is_rec[behavior]] = flat["item"][is_rec]
        item[~is_rec[behavior]] = flat["clicked_items"]
        users = np.repeat(flat["user"], np.diff(flat["sequence_splits"]))
        yield Clicks(
            users[behavior],
            behavior,
            is_rec[behavior],
            flat["timestamp"][behavior],
            item,
            flat["query"][behavior],
        )


def query_item_pairs(dataset: SequenceDataset) -> np.ndarray:
    """The distinct (query, clicked item) pairs of a dataset's searches: `(pairs, 2)`.

    Raises:
        DatasetError: A shard is damaged.
    """
    pairs = np.zeros((0, 2), np.int64)
    for clicks in read_clicks(dataset):
        own = np.stack([clicks.query, clicks.item], axis=1)[clicks.query > 0]
        pairs = np.unique(np.concatenate([pairs, own]), axis=0)
    return pairs
