import numpy as np
from support.layer_weights import numpy

from sar_tf.layers.picked import pick


def test_the_vectors_of_true_slots_in_their_order():
    mask = np.array([[False, True, False], [True, False, True]])
    x = np.arange(12, dtype="float32").reshape(2, 3, 2)
    one, other = pick(mask, (x, -x[..., 0]))
    np.testing.assert_array_equal(numpy(one), [[2, 3], [6, 7], [10, 11]])
    np.testing.assert_array_equal(numpy(other), [-2, -6, -10])


def test_rows_of_a_structure():
    x = np.arange(12, dtype="float32").reshape(3, 2, 2)
    found = pick(np.array([True, False, True]), {"x": x, "y": x[:, 0, 0]})
    np.testing.assert_array_equal(numpy(found["x"]), x[[0, 2]])
    np.testing.assert_array_equal(numpy(found["y"]), [0, 8])


def test_no_entry():
    none = pick(np.zeros((2, 3), bool), np.ones((2, 3, 4), "float32"))
    assert numpy(none).shape == (0, 4)
