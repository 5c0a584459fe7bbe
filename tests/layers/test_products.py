import keras
import numpy as np
import pytest
from support.layer_weights import numpy

from sar_tf.layers.products import of_rows, sizes, times


@pytest.mark.parametrize("shape", [(3, 2), (4, 3, 2), (4, 1, 3, 2), (0, 3, 2)])
def test_products_of_any_rank(shape):
    x = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    kernel = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]], "float32")
    bias = np.array([0.5, 0.0, 1.0], "float32")
    np.testing.assert_allclose(numpy(times(x, kernel)), x @ kernel)
    np.testing.assert_allclose(numpy(times(x, kernel, bias)), x @ kernel + bias)
    result = of_rows(lambda rows: rows[:, :1] * 2, x)
    np.testing.assert_allclose(numpy(result), x[..., :1] * 2)


def test_only_the_first_axis_is_left_to_reshape():
    assert sizes(keras.KerasTensor((None, 3, 2))) == (-1, 3, 2)
    # -1 has no meaning where there are no numbers.
    assert tuple(sizes(np.zeros((4, 0, 2)))) == (4, 0, 2)
    assert tuple(sizes(keras.KerasTensor((4, None, 2)))) == (4, None, 2)


def test_products_without_slots():
    x, kernel = np.zeros((4, 0, 2), "float32"), np.ones((2, 3), "float32")
    assert tuple(times(x, kernel).shape) == (4, 0, 3)
