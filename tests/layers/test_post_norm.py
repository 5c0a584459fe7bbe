import math

import keras
import numpy as np
import pytest
from keras import ops
from support.gradients import gradients
from support.layer_weights import numpy, randomize, round_trip

from sar_tf.layers.post_norm import BidirectionalBlock, FilterBlock

B, N, D, INNER = 4, 5, 4, 6
LENGTHS = [5, 3, 1, 0]
MASK = np.arange(N) < np.array(LENGTHS)[:, None]
X = np.random.default_rng(0).normal(size=(B, N, D)).astype("float32")


def bidirectional_case(**kwargs):
    layer = BidirectionalBlock(2, INNER, **kwargs)
    layer(X, MASK)
    return randomize(layer), (X, MASK)


def filter_case(**kwargs):
    layer = FilterBlock(N, INNER, **kwargs)
    layer(X)
    return randomize(layer), (X,)


CASES = [bidirectional_case, filter_case]


def numpy_norm(norm, x):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
    return x * numpy(norm.gamma) + numpy(norm.beta)


def numpy_block(layer, x, mixed):
    """What follows the mixing of the slots."""
    x = numpy_norm(layer.mix_norm, x + mixed)
    into, out = layer.feed_forward_in, layer.feed_forward_out
    hidden = x @ numpy(into.kernel) + numpy(into.bias)
    hidden = hidden / 2 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
    update = hidden @ numpy(out.kernel) + numpy(out.bias)
    return numpy_norm(layer.feed_forward_norm, x + update)


def test_values_of_the_bidirectional_block():
    layer, (x, mask) = bidirectional_case()
    mixed = numpy(layer.attention(x, x, mask))
    result = numpy(layer(x, mask))
    np.testing.assert_allclose(result, numpy_block(layer, x, mixed), atol=1e-5)
    some = numpy(layer(x, mask, x[:, 1:3]))
    np.testing.assert_allclose(some, result[:, 1:3], atol=1e-5)


def test_values_of_the_filter_block():
    layer, (x,) = filter_case()
    result = numpy(layer(x))
    expected = numpy_block(layer, x, numpy(layer.filter(x)))
    np.testing.assert_allclose(result, expected, atol=1e-5)
    last = numpy(layer(x, last_only=True))
    np.testing.assert_allclose(last, result[:, -1:], atol=1e-5)


def test_each_slot_sees_all_others_that_hold_something():
    layer, (x, mask) = bidirectional_case()
    before = numpy(layer(x, mask))
    for slot in range(N):
        changed = x + np.float32(1) * (np.arange(N) == slot)[:, None] * np.arange(D)
        after = numpy(layer(changed.astype("float32"), mask))
        for row, length in enumerate(LENGTHS):
            for other in set(range(N)) - {slot}:
                is_same = np.allclose(after[row, other], before[row, other], atol=1e-5)
                assert is_same == (slot >= length), (row, slot, other)


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_finite(case):
    layer, (x, *masks) = case()
    for kept in (masks, [np.zeros_like(mask) for mask in masks]):
        result = gradients(
            lambda kept=kept: ops.sum(layer(x, *kept) ** 2), layer.trainable_variables
        )
        assert all(np.all(np.isfinite(gradient)) for gradient in result)


@pytest.mark.parametrize("case", CASES)
def test_shapes_and_round_trip(case):
    layer, inputs = case(dropout=0.2)
    shapes = [x.shape for x in inputs]
    assert layer.compute_output_shape(*shapes) == tuple(layer(*inputs).shape)
    copy = round_trip(layer, *inputs)
    np.testing.assert_array_equal(numpy(copy(*inputs)), numpy(layer(*inputs)))


@pytest.mark.parametrize("case", CASES)
def test_dropout_acts_in_training_only(case):
    (layer, inputs), (plain, _) = case(dropout=0.5), case()
    expected = numpy(plain(*inputs))
    np.testing.assert_array_equal(numpy(layer(*inputs, training=False)), expected)
    assert not np.allclose(numpy(layer(*inputs, training=True)), expected)


@pytest.mark.parametrize("case", CASES)
def test_mixed_precision(case):
    (layer, inputs), (half, _) = case(), case(dtype="mixed_bfloat16")
    assert {v.dtype for v in half.variables if "seed" not in v.path} == {"float32"}
    result = half(*inputs)
    assert keras.backend.standardize_dtype(result.dtype) == "bfloat16"
    result = numpy(ops.cast(result, "float32"))
    np.testing.assert_allclose(result, numpy(layer(*inputs)), atol=0.1, rtol=0.1)
