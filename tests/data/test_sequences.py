"""One sequence of each user in an epoch, for losses on positions inside histories."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from support.rows import LIMITS, read_epoch, targets_of

from sar_tf.data.batches import list_sequences
from sar_tf.data.schema import REC

NEEDS = ("sequence_items", "sequence_negatives")


def last_sequences(records):
    """Of each user with a training target the newest items, its last target's last."""
    expected = {}
    for record, target in targets_of(records, "rec", "train"):
        end = record.target_history_end[target]
        history = record.item[:end][record.type[:end] == REC]
        items = [*history[-LIMITS["max_rec_history"] :], record.target_item[target]]
        expected[record.user] = [int(item) for item in items]
    return expected


def columns_of(batches, name):
    return np.concatenate([batch["rec"][name] for batch in batches])


@pytest.mark.parametrize("num_groups", [1, 3])
def test_each_user_has_one_sequence_an_epoch(pipeline, records, num_groups):
    pipeline = dataclasses.replace(pipeline, needs=NEEDS, num_groups=num_groups)
    batches = read_epoch(pipeline)
    rows = columns_of(batches, "sequence_items")
    found = [row[row > 0].tolist() for row in rows if row.any()]
    assert sorted(found) == sorted(last_sequences(records[0]).values())
    # Each is in the step of its target, and right-padded.
    for batch in batches:
        sequences = batch["rec"]["sequence_items"]
        if num_groups == 1:
            assert len(sequences) == len(batch["rec"]["candidates"])
        else:
            assert sequences.any(axis=1).all()
        for row in sequences[sequences.any(axis=1)]:
            length = np.count_nonzero(row)
            assert row[:length].all()
            assert row[length - 1] in batch["rec"]["candidates"][:, 0]
    assert "sequence_items" not in batches[0]["search"]


def test_negatives_are_nobodys_own_and_differ(pipeline, records):
    pipeline = dataclasses.replace(pipeline, needs=NEEDS)
    batches, again = read_epoch(pipeline), read_epoch(pipeline)
    items = columns_of(batches, "sequence_items")
    negatives = columns_of(batches, "sequence_negatives")
    np.testing.assert_array_equal(negatives, columns_of(again, "sequence_negatives"))
    np.testing.assert_array_equal(negatives > 0, items > 0)
    # Each item is one user's alone.
    owner = {i: record.user for record in records[0] for i in record.user_items}
    drawn = [
        (owner.get(n), owner[row[0]])
        for row, own in zip(items, negatives, strict=True)
        for n in own[own > 0]
    ]
    assert all(one != other for one, other in drawn)
    assert len(set(negatives[negatives > 0].tolist())) > len(drawn) / 2


def test_other_needs_and_draws_are_as_without(pipeline):
    """The candidates are the same whether sequences are drawn or not."""
    with_sequences = dataclasses.replace(pipeline, needs=NEEDS)
    without = dataclasses.replace(pipeline, needs=())
    one, other = read_epoch(with_sequences)[0], read_epoch(without)[0]
    np.testing.assert_array_equal(one["rec"]["candidates"], other["rec"]["candidates"])
    assert not set(NEEDS) & other["rec"].keys()


def test_a_step_by_hand():
    rows = {
        "rec_items": tf.constant([[7, 8, 9], [5, 0, 0], [0, 0, 0]]),
        "num_recs": tf.constant([3, 1, 0]),
        "is_last": tf.constant([True, False, True]),
        "candidates": tf.constant([[1, 4], [2, 4], [3, 4]]),
        "sequence_negatives": tf.fill([3, 4], 6),
    }
    distinct = list_sequences(rows, only_last=True)
    assert distinct["sequence_items"].numpy().tolist() == [[7, 8, 9, 1], [3, 0, 0, 0]]
    expected = [[6, 6, 6, 6], [6, 0, 0, 0]]
    assert distinct["sequence_negatives"].numpy().tolist() == expected
    static = list_sequences(rows, only_last=False)
    expected = [[7, 8, 9, 1], [0, 0, 0, 0], [3, 0, 0, 0]]
    assert static["sequence_items"].numpy().tolist() == expected


@pytest.mark.parametrize("task", ["rec", "search"])
def test_each_user_has_one_last_target_an_epoch(pipeline, records, task):
    pipeline = dataclasses.replace(pipeline, needs=("user", "is_last"), num_groups=1)
    users = []
    for batch in read_epoch(pipeline):
        users += batch[task]["user"][batch[task]["is_last"]].tolist()
    expected = {record.user for record, _ in targets_of(records[0], task, "train")}
    assert len(expected) > 3
    assert sorted(users) == sorted(expected)
