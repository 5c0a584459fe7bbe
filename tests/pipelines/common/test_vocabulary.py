import numpy as np
import pytest

from pipelines.common.vocabulary import Vocabulary


def test_dense_ids_start_at_one_and_unknown_is_zero():
    vocabulary = Vocabulary.build(["b", "a", "c", "a"])

    assert len(vocabulary) == 3
    encoded = vocabulary.encode(["c", "a", "?", "b"])
    assert encoded.dtype == np.int64
    assert encoded.tolist() == [3, 1, 0, 2]
    assert vocabulary.decode([3, 1]).tolist() == ["c", "a"]


def test_parts_unite_whatever_their_order():
    one = Vocabulary.build(np.array([30, 4]), np.array([4, 7]), np.array([], np.int64))
    other = Vocabulary.build(np.array([7, 7, 30, 4]))

    assert one.decode([1, 2, 3]).tolist() == [4, 7, 30]
    assert other.decode([1, 2, 3]).tolist() == [4, 7, 30]
    assert one.encode([30, 5]).tolist() == [3, 0]


def test_empty_vocabulary_knows_nothing():
    vocabulary = Vocabulary.build([])

    assert len(vocabulary) == 0
    assert vocabulary.encode(["a"]).tolist() == [0]
    assert vocabulary.encode([]).tolist() == []


def test_zero_has_no_raw_id():
    with pytest.raises(ValueError, match="dense id 0"):
        Vocabulary.build(["a"]).decode([1, 0])


def test_line_number_in_the_file_is_the_dense_id(tmp_path):
    vocabulary = Vocabulary.build([10, 9, 100])
    vocabulary.save(tmp_path / "item.txt")

    assert (tmp_path / "item.txt").read_text() == "9\n10\n100\n"
    assert vocabulary.raw_ids().tolist() == [9, 10, 100]


def test_line_break_in_a_raw_id_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="line break"):
        Vocabulary.build(["a\nb"]).save(tmp_path / "item.txt")


def test_unsorted_or_repeated_raw_ids_are_an_error():
    for raw_ids in (["b", "a"], ["a", "a"]):
        with pytest.raises(ValueError, match="distinct and sorted"):
            Vocabulary(raw_ids)
