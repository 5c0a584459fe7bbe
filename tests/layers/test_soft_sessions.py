import numpy as np
import pytest
from support.layer_weights import numpy

from sar_tf.layers import soft_sessions


@pytest.mark.parametrize(
    ("length", "first", "second"),
    [
        (1, [], []),
        (2, [], []),
        (3, [1], [2]),
        (4, [1], [3]),
        (8, [1, 2, 3], [5, 6, 7]),
        (9, [2, 3], [6, 7]),
    ],
)
def test_windows_by_hand(length, first, second):
    """t / n in [1/8, 3/8] and in [5/8, 7/8]: above 8 places the last is in none."""
    masks = soft_sessions.window_masks(np.arange(length)[None], np.array([length]), 2)
    windows = numpy(masks)[0]
    assert [np.flatnonzero(window).tolist() for window in windows] == [first, second]


def test_means_of_windows():
    x = np.array([[[1.0, 2.0], [3.0, 4.0], [7.0, 7.0]]], "float32")
    windows = np.array([[[True, True, False], [False, False, False]]])
    means, is_there = soft_sessions.window_means(x, windows)
    np.testing.assert_allclose(numpy(means), [[[2.0, 3.0], [0.0, 0.0]]])
    np.testing.assert_array_equal(numpy(is_there), [[True, False]])


def test_likeness_by_hand():
    one = np.array([[[1.0, 0.0], [-1.0, 1.0], [0.0, 0.0]]], "float32")
    other = np.array([[[3.0, 4.0], [2.0, 0.0], [1.0, 1.0]]], "float32")
    is_there = np.array([[True, True, False]]), np.array([[True, True, True]])
    values, counts = soft_sessions.likeness_within(one, is_there[0])
    np.testing.assert_allclose(numpy(values), [0.5**0.5, 0.0], rtol=1e-6)
    np.testing.assert_array_equal(numpy(counts), [True, False])
    values, counts = soft_sessions.likeness_between((one, other), is_there)
    np.testing.assert_allclose(numpy(values), [0.6, -(0.5**0.5), 0.0], rtol=1e-6)
    np.testing.assert_array_equal(numpy(counts), [True, True, False])
