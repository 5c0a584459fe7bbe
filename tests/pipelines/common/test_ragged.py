import numpy as np

from pipelines.common.ragged import (
    RaggedTable,
    find_sorted,
    query_words,
    word_lists,
)
from pipelines.common.vocabulary import Vocabulary


def rows_of(table):
    return [row.tolist() for row in np.split(table.values, table.row_splits)[1:-1]]


def test_rows_end_to_end():
    table = RaggedTable.from_rows([[], [5, 7], [], [6]], np.int64)

    assert table.values.tolist() == [5, 7, 6]
    assert table.row_splits.tolist() == [0, 0, 2, 2, 3]
    assert table.lengths.tolist() == [0, 2, 0, 1]


def test_rows_are_taken_in_any_order_and_repeatedly():
    table = RaggedTable.from_rows([[], [5, 7], [6]], np.int64)

    assert rows_of(table.take(np.array([2, 0, 1, 1]))) == [[6], [], [5, 7], [5, 7]]
    assert rows_of(table.take(np.array([], np.int64))) == []


def test_words_of_texts():
    table = word_lists(["", "b a", ""])
    assert table.encode(Vocabulary.build(["a", "b"])).values.tolist() == [2, 1]
    assert table.row_splits.tolist() == [0, 0, 2, 2]

    numbers = word_lists(["10 9", ""], np.int64)
    assert numbers.values.tolist() == [10, 9]
    assert numbers.values.dtype == np.int64
    assert word_lists([""], np.int64).values.dtype == np.int64


def test_query_zero_has_no_words():
    words = Vocabulary.build(["lens", "camera", "photo"])
    queries = Vocabulary.build(["photo lens", "camera"])

    table = query_words(queries).encode(words)

    assert rows_of(table) == [[], [1], [3, 2]]


def test_values_are_found_in_a_sorted_array():
    place, is_found = find_sorted(np.array([3, 5, 9]), np.array([9, 4, 3, 10, 1]))

    assert is_found.tolist() == [True, False, True, False, False]
    assert place[is_found].tolist() == [2, 0]
