import keras
import numpy as np
import pytest

from sar_tf.layers.layer_norm import LayerNormalization


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("training", [True, False])
def test_rows_are_normalized(training, dtype):
    """By hand: mean 4, variance (9 + 1 + 1 + 9) / 4 = 5; a constant row has beta."""
    norm = LayerNormalization(epsilon=0.5, dtype=dtype)
    norm.build((None, 4))
    norm.gamma.assign([1.0, 2.0, 1.0, -1.0])
    norm.beta.assign([0.0, 0.5, 0.0, 10.0])
    x = np.array([[[1.0, 3.0, 5.0, 7.0], [2.0, 2.0, 2.0, 2.0]]], "float32")
    found = norm(x, training=training)
    expected = np.array([-3.0, -2.0, 1.0, -3.0]) / 5.5**0.5 + [0.0, 0.5, 0.0, 10.0]
    assert keras.backend.standardize_dtype(found.dtype) == norm.compute_dtype
    tolerance = 1e-6 if dtype == "float32" else 1e-2
    found = keras.ops.convert_to_numpy(keras.ops.cast(found, "float32"))
    np.testing.assert_allclose(found[0, 0], expected, rtol=tolerance)
    np.testing.assert_array_equal(found[0, 1], [0.0, 0.5, 0.0, 10.0])
