import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from support.builders import make_record, rec, search

from sar_tf.data.schema import Ragged, encode_record, parse_records


def record():
    return make_record(
        3,
        [rec(10, 5), search(20, 2, [7, 8], [3, 4]), search(20, 1), rec(30, 6)],
        [(1, "train", 7), (3, "test", 6)],
    )


def empty_record(user):
    return make_record(user, [])


def test_parse_gives_back_what_was_encoded():
    serialized = [encode_record(r) for r in (empty_record(1), record())]
    flat = {k: v.numpy() for k, v in parse_records(tf.constant(serialized)).items()}
    expected = {
        "user": [1, 3],
        "sequence_splits": [0, 0, 4],
        "type": [1, 0, 0, 1],
        "timestamp": [10, 20, 20, 30],
        "item": [5, 0, 0, 6],
        "query": [0, 2, 1, 0],
        "search_source": [0, 1, 1, 0],
        "query_words": [3, 4],
        "query_words_splits": [0, 0, 2, 2, 2],
        "clicked_items": [7, 8],
        "clicked_items_splits": [0, 0, 2, 2, 2],
        "user_items": [5, 6, 7, 8],
        "user_items_splits": [0, 0, 4],
        "target_splits": [0, 0, 2],
        "target_task": [0, 1],
        "target_split": [0, 2],
        "target_behavior": [1, 3],
        "target_item": [7, 6],
        "target_history_end": [1, 3],
        "candidates": [*range(87, 108), *range(9, 87)],  # 9 to 107, rolled by 3 * 7
        "candidates_splits": [0, 0, 99],
    }
    assert flat.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(flat[name], values, err_msg=name)


def test_parse_some_fields_only():
    flat = parse_records(tf.constant([encode_record(record())]), ["item"])
    assert flat.keys() == {"item", "sequence_splits"}


def test_ragged_rows_round_trip():
    ragged = Ragged.from_rows([[], [1, 2], [3]])
    assert [row.tolist() for row in ragged.rows()] == [[], [1, 2], [3]]
    assert Ragged.from_rows([]).rows() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"user": 0}, "user must be a dense id"),
        ({"item": np.array([5, 0, 0])}, "item has length 3, type has 4"),
        ({"item": np.array([5, 0, 0, 0])}, "item must be set for recommendations"),
        ({"item": np.array([[5, 0, 0, 6]])}, r"item must be integers of shape"),
        ({"item": np.array([0.5, 0, 0, 6])}, r"item must be integers of shape"),
        ({"query": np.array([0, -1, 1, 0])}, "query holds a negative number"),
        ({"query": np.array([1, 2, 1, 0])}, "query is set for a recommendation"),
        ({"timestamp": np.array([10, 20, 19, 30])}, "timestamp decreases"),
        ({"type": np.array([1, 0, 0, 2])}, "type must be 0"),
        (
            {"clicked_items": Ragged(np.array([7]), np.array([0, 2, 0, 0]))},
            "clicked_items has 1 values, its lengths add up to 2",
        ),
        ({"user_items": np.array([6, 5, 7, 8])}, "user_items must be"),
        ({"user_items": np.array([0, 5, 6, 7])}, "user_items must be"),
        ({"target_item": np.array([7])}, "target_item has length 1"),
        ({"target_item": np.array([7, 9])}, "target_item is missing from user_items"),
        ({"target_behavior": np.array([1, 4])}, "target_behavior is past"),
        ({"target_task": np.array([1, 1])}, "target_task differs"),
        ({"target_history_end": np.array([2, 3])}, "target_history_end must count"),
        ({"candidates": np.arange(0)}, None),
        ({"target_split": np.array([0, 0])}, "candidates has 99 values for 0"),
        ({"candidates": np.array([7])}, "candidates holds an item of user_items"),
    ],
)
def test_contradicting_fields_are_refused(changes, message):
    changed = dataclasses.replace(record(), **changes)
    if message is None:
        encode_record(changed)
    else:
        with pytest.raises(ValueError, match=f"user {changed.user}: {message}"):
            encode_record(changed)
