import numpy as np
import pytest
from keras import backend, ops
from support.layer_weights import numpy

from sar_tf.layers.masking import key_mask_bias, masked_mean, softmax


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ([1, 1, 1], [3.0, 30.0]),
        ([1, 0, 1], [2.5, 25.0]),
        ([0, 1, 0], [4.0, 40.0]),
        ([0, 0, 0], [0.0, 0.0]),
    ],
)
def test_masked_mean(mask, expected):
    values = np.array([[[1.0, 10.0], [4.0, 40.0], [4.0, 40.0]]], "float32")
    mean = masked_mean(values, np.array([mask], bool), axis=-2)
    np.testing.assert_allclose(numpy(mean), [expected])


def test_masked_mean_over_any_leading_axes():
    values = np.arange(24.0, dtype="float32").reshape(2, 2, 3, 2)
    mask = np.arange(3) < np.array([[[1], [2]], [[3], [0]]])
    mean = numpy(masked_mean(values, mask, axis=-2))
    assert mean.shape == (2, 2, 2)
    for place in np.ndindex(2, 2):
        kept = values[place][mask[place]]
        expected = kept.mean(axis=0) if len(kept) else [0, 0]
        np.testing.assert_allclose(mean[place], expected, rtol=1e-6)


def test_masked_mean_of_no_rows():
    mean = masked_mean(np.zeros((0, 3, 2), "float32"), np.zeros((0, 3), bool), axis=-2)
    assert numpy(mean).shape == (0, 2)


def test_masked_mean_keeps_the_type():
    values = ops.ones((1, 2, 3), "bfloat16")
    mean = masked_mean(values, np.array([[True, False]]), axis=-2)
    assert backend.standardize_dtype(mean.dtype) == "bfloat16"


def test_softmax_by_hand():
    weights = numpy(softmax(np.log(np.array([[1, 2, 5]], "float32"))))
    np.testing.assert_allclose(weights, [[1 / 8, 2 / 8, 5 / 8]], rtol=1e-6)


@pytest.mark.filterwarnings("error")
def test_softmax_of_one_slot_is_one_without_a_warning():
    logits = np.array([[[3.0]], [[-200.0]]], "float32")
    np.testing.assert_array_equal(numpy(softmax(logits)), [[[1.0]], [[1.0]]])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_masked_keys_have_no_weight(dtype):
    mask = np.array([[True, True, False], [False, True, True]])
    bias = key_mask_bias(mask)
    assert tuple(bias.shape) == (2, 1, 1, 3)
    assert backend.standardize_dtype(bias.dtype) == "float32"
    logits = ops.zeros((2, 4, 5, 3), "float32") + bias
    weights = numpy(ops.cast(softmax(ops.cast(logits, dtype)), "float32"))
    expected = np.broadcast_to(mask[:, None, None, :] / 2, weights.shape)
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
