import numpy as np
from support.layer_weights import numpy

from sar_tf.layers.clicked_items import clicks_in_time, newest_in_time, take_slots

CLICKED = np.array(
    [
        [[5, 0], [7, 8], [0, 0], [9, 0]],
        [[0, 0], [3, 4], [0, 0], [0, 0]],
        [[0, 0], [0, 0], [0, 0], [0, 0]],
    ],
    "int32",
)


def newest_of(items, times, number):
    return numpy(take_slots(items, newest_in_time(items, times, number)))


def test_by_search_and_then_by_click():
    result = newest_of(*clicks_in_time(CLICKED), 8)
    expected = [[5, 7, 8, 9, 0, 0, 0, 0], [3, 4, 0, 0, 0, 0, 0, 0], [0] * 8]
    np.testing.assert_array_equal(result, expected)


def test_the_newest_are_kept():
    result = newest_of(*clicks_in_time(CLICKED), 3)
    np.testing.assert_array_equal(result, [[7, 8, 9], [3, 4, 0], [0, 0, 0]])


def test_positions_tell_the_time():
    """Positions of empty slots are behind all others, as in a batch, or anything."""
    positions = np.array([[4, 1, 9, 0], [0, 2, 9, 8], [0, 0, 0, 0]], "int32")
    items, times = clicks_in_time(CLICKED, positions)
    expected = [[9, 7, 8, 5, 0], [3, 4, 0, 0, 0], [0] * 5]
    np.testing.assert_array_equal(newest_of(items, times, 5), expected)
    first = [8, 9, 2, 3, 18, 19, 0, 1]
    np.testing.assert_array_equal(numpy(times)[0], first)


def test_slots_are_taken_from_vectors_too():
    vectors = np.arange(12, dtype="float32").reshape(1, 4, 3)
    result = numpy(take_slots(vectors, np.array([[2, 0]], "int32")))
    np.testing.assert_array_equal(result, vectors[:, [2, 0]])


def test_no_rows_and_no_slots():
    items, times = clicks_in_time(CLICKED[:0])
    assert newest_of(items, times, 3).shape == (0, 3)
    items, times = clicks_in_time(CLICKED[:, :0])
    assert newest_of(items, times, 3).shape == (3, 0)
