"""The clicks of training, and who may see which of them."""

import numpy as np
import pytest
import tensorflow as tf
from support.builders import make_record, rec, search, write_dataset

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.schema import SPLITS
from sar_tf.data.training_edges import (
    Edges,
    edges_before,
    index_edges,
    read_training_edges,
)


def test_edges_are_the_clicks_of_training_alone(tmp_path):
    """The first behavior is no target, but earlier than the last one of training.

    The search of time 5 is as late as that one, and no target: it may be of the
    validation's interaction.
    """
    behaviors = [
        rec(1, 11),
        search(2, 3, [12, 13]),
        search(3, 4),
        rec(5, 14),
        search(5, 3, [15]),
        search(6, 2, [16]),
        rec(7, 17),
    ]
    targets = [
        (1, "train", 12),
        (1, "train", 13),
        (3, "train", 14),
        (5, "validation", 16),
        (6, "test", 17),
    ]
    records = [
        make_record(1, behaviors, targets),
        make_record(2, [rec(1, 18), rec(2, 19)], [(1, "test", 19)]),
        make_record(3, [rec(1, 20), rec(2, 21)], [(1, "train", 21)]),
    ]
    write_dataset(tmp_path, records, 140, [[1], [2], [3], [4]])
    edges = read_training_edges(SequenceDataset.open(tmp_path))
    found = list(zip(*(column.tolist() for column in edges), strict=True))
    assert found == [
        (1, 11, 0, 1),
        (3, 20, 0, 1),
        (1, 12, 3, 2),
        (1, 13, 3, 2),
        (3, 21, 0, 2),
        (1, 14, 0, 5),
    ]


@pytest.fixture(scope="module")
def edges(pipeline):
    return read_training_edges(pipeline.dataset)


def test_edges_of_random_records(edges, records):
    """Every item occurs once, so that it tells the behavior."""
    expected = set()
    for record in records[0]:
        split = dict(zip(record.target_behavior, record.target_split, strict=True))
        trained = [b for b, s in split.items() if s == SPLITS["train"]]
        last = max((record.timestamp[b] for b in trained), default=-1)
        for b, clicked in enumerate(record.clicked_items.rows()):
            if b not in trained and (b in split or record.timestamp[b] >= last):
                continue
            items = [record.item[b]] if record.item[b] else clicked
            rest = record.query[b], record.timestamp[b]
            expected |= {(record.user, item, *rest) for item in items}
    assert len(edges.user) == len(expected)
    assert set(zip(*edges, strict=True)) == expected


def test_edges_before_a_time_are_strictly_earlier():
    rng = np.random.default_rng(0)
    time = np.sort(rng.integers(0, 30, 400))
    user = rng.integers(1, 9, 400)
    edges = Edges(user, user, user, time)
    index = index_edges(user, edges, 9)
    owners = rng.integers(0, 10, (50, 3)).astype("int32")
    times = rng.integers(-2, 33, (50, 1))
    first, number = edges_before(index, owners, tf.constant(times))
    for row, column in np.ndindex(owners.shape):
        start, size = int(first[row, column]), int(number[row, column])
        found = index.order[start : start + size]
        is_own = (user == owners[row, column]) & (time < times[row, 0])
        assert found.tolist() == np.flatnonzero(is_own).tolist()


def test_no_edges():
    none = np.zeros(0, np.int64)
    index = index_edges(none, Edges(none, none, none, none), 3)
    _, number = edges_before(
        index, tf.constant([0, 1, 3]), tf.constant([5, 5, 5], tf.int64)
    )
    assert number.numpy().tolist() == [0, 0, 0]
