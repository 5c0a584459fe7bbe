import keras
import numpy as np
import pytest
from keras import ops

from sar_tf.layers.dropout import Dropout


@pytest.mark.parametrize("shape", [(40, 50), (3, 7, 101)])
def test_drops_the_rate_and_scales_the_rest(shape):
    keras.utils.set_random_seed(1)
    result = ops.convert_to_numpy(Dropout(0.2)(ops.ones(shape), training=True))
    kept = result > 0
    assert np.mean(kept) == pytest.approx(0.8, abs=0.03)
    np.testing.assert_allclose(result[kept], 1 / 0.8, rtol=1e-4)


def test_keeps_the_type():
    layer = Dropout(0.5, dtype="bfloat16")
    result = layer(ops.ones((4, 4), "bfloat16"), training=True)
    assert keras.backend.standardize_dtype(result.dtype) == "bfloat16"


def test_changes_nothing_in_inference():
    inputs = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(Dropout(0.5)(inputs, training=False), inputs)


def test_compiles_for_training():
    """On every backend, where shapes must be numbers too: a new mask each step."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4, 5)), Dropout(0.25)])
    model.compile("sgd", loss="mse", jit_compile=True)
    ones = np.ones((300, 4, 5), "float32")
    losses = []
    for _ in range(3):
        model.reset_metrics()
        losses.append(model.train_on_batch(ones, ones))
    # A quarter is 0, 1 away from 1, and the rest 4/3.
    assert losses == pytest.approx([1 / 4 + 3 / 4 / 9] * 3, abs=0.02)
    assert len(set(losses)) == 3
