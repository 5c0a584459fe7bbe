"""Clicks of training: who clicked which item, for which query, and when.

Everything that a model reads beside the target and its history, like the queries of an
item or the users of an item, is looked up here. A look-up takes the time of a target
and sees only what is strictly earlier: neither the target's own click nor one of the
same time.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.records import read_blocks
from sar_tf.data.schema import SPLITS, parse_records

_FIELDS = (
    "user",
    "timestamp",
    "item",
    "query",
    "clicked_items",
    "target_split",
    "target_behavior",
)


class Edges(NamedTuple):
    """The E clicks of training in order of time; those of one time, of the records.

    A behavior is of training where it is a training target, or earlier than the last
    training target of its user and no target of validation or test.
    """

    user: np.ndarray  # int32 (E,)
    item: np.ndarray  # int32 (E,)
    query: np.ndarray  # int32 (E,): 0 of a recommendation
    time: np.ndarray  # int64 (E,), in the unit of the raw log

    def of_searches(self) -> "Edges":
        """The clicks on items that searches found."""
        found = self.query > 0
        return Edges(*(column[found] for column in self))


class EdgeIndex(NamedTuple):
    """Edges of owners (their items, say), each owner's in order of time."""

    order: np.ndarray  # int32 (E,) the place in `Edges` of each edge in the index
    splits: np.ndarray  # int32 (num_owners + 2,) from owners to their edges
    keys: np.ndarray  # int64 (E,) owner and rank of the time in one number, ascending
    times: np.ndarray  # int64 (distinct times,) ascending


def read_training_edges(dataset: SequenceDataset) -> Edges:
    """The clicks of training: items of recommendations, and those found by searches.

    It reads all records once, whatever a worker's share of them is.

    Args:
        dataset: The dataset.
    """
    parts = [np.zeros((4, 0), np.int64)]
    for serialized in read_blocks(dataset, None):
        flat = {k: v.numpy() for k, v in parse_records(serialized, _FIELDS).items()}
        parts.append(_edges_of_block(flat))
    columns = np.concatenate(parts, axis=1)
    user, item, query, time = columns[:, np.argsort(columns[3], kind="stable")]
    user, item, query = (x.astype(np.int32) for x in (user, item, query))
    return Edges(user, item, query, time)


def _edges_of_block(flat: dict[str, np.ndarray]) -> np.ndarray:
    """`(4, E)`: user, item, query and time of a block's clicks of training."""
    clicks = np.diff(flat["clicked_items_splits"])
    is_rec = flat["item"] > 0
    behavior = np.repeat(np.arange(len(clicks)), np.where(is_rec, 1, clicks))
    item = flat["item"][behavior]
    item[~is_rec[behavior]] = flat["clicked_items"]
    kept = (item > 0) & _is_training(flat)[behavior]
    behavior, item = behavior[kept], item[kept]
    user = np.repeat(flat["user"], np.diff(flat["sequence_splits"]))
    query, time = flat["query"][behavior], flat["timestamp"][behavior]
    return np.stack([user[behavior], item, query, time])


def _is_training(flat: dict[str, np.ndarray]) -> np.ndarray:
    """`(N,)`: whether each behavior is of training, as `Edges` says."""
    user = np.repeat(np.arange(len(flat["user"])), np.diff(flat["sequence_splits"]))
    owner = np.repeat(np.arange(len(flat["user"])), np.diff(flat["target_splits"]))
    behavior = flat["sequence_splits"][owner] + flat["target_behavior"]
    is_train = flat["target_split"] == SPLITS["train"]
    trained, evaluated = behavior[is_train], behavior[~is_train]
    last = np.full(len(flat["user"]), np.iinfo(np.int64).min)
    np.maximum.at(last, owner[is_train], flat["timestamp"][trained])
    is_training = flat["timestamp"] < last[user]
    is_training[evaluated] = False
    is_training[trained] = True
    return is_training


def index_edges(owners: np.ndarray, edges: Edges, num_owners: int) -> EdgeIndex:
    """Prepares `edges_before`.

    Args:
        owners: int `(E,)`, the owner of each edge, such as `edges.item`.
        edges: The edges.
        num_owners: Highest id of an owner.
    """
    order = np.argsort(owners, kind="stable")
    times, rank = np.unique(edges.time, return_inverse=True)
    owner = owners[order].astype(np.int64)
    counts = np.bincount(owner, minlength=num_owners + 1)
    return EdgeIndex(
        order.astype(np.int32),
        np.append(0, np.cumsum(counts)).astype(np.int32),
        owner * (len(times) + 1) + rank[order],
        times,
    )


def edges_before(
    index: EdgeIndex, owners: tf.Tensor, times: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Where the edges of owners are that are strictly earlier than some times.

    Args:
        index: As `index_edges`.
        owners: int32 of any shape; 0 is none.
        times: int64 of a shape that broadcasts to it.

    Returns:
        The first edge, in the index, and the number of edges, int32, as `owners`: the
        edges [first, first + number), the oldest first.
    """
    owners = tf.convert_to_tensor(owners)
    rank = tf.searchsorted(index.times, tf.reshape(times, [-1]), out_type=tf.int64)
    keys = tf.cast(owners, tf.int64) * (tf.size(index.times, tf.int64) + 1)
    keys += tf.reshape(rank, tf.shape(times))
    end = tf.searchsorted(index.keys, tf.reshape(keys, [-1]))
    first = tf.gather(index.splits, owners)
    number = tf.reshape(end, tf.shape(owners)) - first
    return first, tf.where(owners > 0, number, 0)
