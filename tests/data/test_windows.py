import numpy as np
import pytest
import tensorflow as tf
from support.builders import expected_history, make_record, random_records, rec, search

from sar_tf.data.schema import encode_record, parse_records
from sar_tf.data.windows import cut_windows, index_sequences


def cut(records, starts, ends, max_rec=3, max_search=2, max_clicked=2):
    flat = parse_records(tf.constant([encode_record(r) for r in records]))
    flat = {name: tf.cast(column, tf.int32) for name, column in flat.items()}
    sequences = index_sequences(flat, max_clicked)
    rows = cut_windows(
        sequences, tf.constant(starts), tf.constant(ends), max_rec, max_search
    )
    return {name: column.numpy().tolist() for name, column in rows.items()}


def test_values_by_hand():
    first = make_record(1, [rec(1, 9), search(2, 5, [9])])
    second = make_record(
        2,
        [
            search(1, 1, [11, 12, 13], source=2),
            rec(2, 21),
            search(2, 2, []),  # Same time as the one before: it stays after it.
            rec(3, 22),
            search(4, 3, [14], source=2),
            rec(5, 23),
        ],
    )
    # Of the second user, whose behaviors begin at 2: all of them; the first four.
    rows = cut([first, second], starts=[2, 2], ends=[8, 6])
    assert rows["num_recs"] == [3, 2]
    assert rows["num_searches"] == [2, 2]
    assert rows["rec_items"] == [[21, 22, 23], [21, 22, 0]]
    assert rows["search_queries"] == [[2, 3], [1, 2]]
    assert rows["search_sources"] == [[1, 2], [2, 1]]
    assert rows["clicked_items"] == [[[0, 0], [14, 0]], [[11, 12], [0, 0]]]
    # Merged: 21, query 2, 22, query 3, 23; and query 1, 21, query 2, 22, empty.
    assert rows["rec_positions"] == [[0, 2, 4], [1, 3, 4]]
    assert rows["search_positions"] == [[1, 3], [0, 2]]


def test_empty_slots_come_last_recommendations_first():
    record = make_record(1, [rec(1, 7), search(2, 4)])
    rows = cut([record], starts=[0, 0, 0], ends=[0, 1, 2])
    assert rows["rec_items"] == [[0, 0, 0], [7, 0, 0], [7, 0, 0]]
    assert rows["rec_positions"] == [[0, 1, 2], [0, 1, 2], [0, 2, 3]]
    assert rows["search_queries"] == [[0, 0], [0, 0], [4, 0]]
    assert rows["search_positions"] == [[3, 4], [3, 4], [1, 4]]


@pytest.mark.parametrize("kind", ["rec", "search", "none"])
def test_one_type_only_in_the_whole_block(kind):
    behaviors = {"rec": [rec(1, 3)], "search": [search(1, 3, [8])], "none": []}[kind]
    rows = cut([make_record(1, behaviors)], starts=[0], ends=[len(behaviors)])
    assert rows["rec_items"] == [[3 if kind == "rec" else 0, 0, 0]]
    assert rows["search_queries"] == [[3 if kind == "search" else 0, 0]]
    assert rows["clicked_items"] == [[[8 if kind == "search" else 0, 0], [0, 0]]]


def test_no_targets():
    rows = cut(
        [make_record(1, [rec(1, 3)])],
        starts=tf.zeros(0, tf.int32),
        ends=tf.zeros(0, tf.int32),
    )
    assert rows["num_recs"] == [] and np.shape(rows["rec_items"])[0] == 0


def test_against_plain_python():
    records, _, _ = random_records(num_users=20, max_behaviors=25)
    offsets = np.cumsum([0] + [len(record.type) for record in records])
    starts, ends, expected = [], [], []
    for record, offset in zip(records, offsets, strict=False):
        for target, end in enumerate(record.target_history_end):
            starts.append(offset)
            ends.append(offset + end)
            expected.append(expected_history(record, target, 4, 3))
    rows = cut(records, starts, ends, max_rec=4, max_search=3, max_clicked=3)
    assert len(expected) > 100
    for index, history in enumerate(expected):
        for name, values in history.items():
            if name == "search_words":  # Looked up later, by query.
                continue
            found = rows[name][index][: len(values)]
            if name == "clicked_items":
                found = [[item for item in row if item] for row in found]
            assert found == values, (index, name)
        positions = rows["rec_positions"][index] + rows["search_positions"][index]
        assert sorted(positions) == list(range(7))
