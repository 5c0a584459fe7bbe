import keras
import numpy as np
import pytest
from keras import ops
from support.layer_weights import numpy, randomize, round_trip

from sar_tf.layers.frequency_filter import FrequencyFilter

B, D = 3, 2


def filter_case(length, **kwargs):
    x = np.random.default_rng(0).normal(size=(B, length, D)).astype("float32")
    layer = FrequencyFilter(length, **kwargs)
    layer(x)
    return randomize(layer), x


def pass_all(layer):
    """W = 1 at all frequencies."""
    layer.real.assign(np.ones(layer.real.shape))
    layer.imaginary.assign(np.zeros(layer.imaginary.shape))


@pytest.mark.parametrize("length", [1, 2, 5, 6])
def test_it_filters_frequencies(length):
    layer, x = filter_case(length)
    spectrum = np.fft.rfft(x, axis=1, norm="ortho")
    weights = numpy(layer.real) + 1j * numpy(layer.imaginary)
    expected = np.fft.irfft(weights * spectrum, length, axis=1, norm="ortho")
    np.testing.assert_allclose(numpy(layer(x)), expected, atol=1e-5)
    last = numpy(layer(x, last_only=True))
    np.testing.assert_allclose(last, expected[:, -1:], atol=1e-5)


def test_it_is_a_circular_convolution():
    layer, x = filter_case(5)
    kernel = np.fft.irfft(numpy(layer.real) + 1j * numpy(layer.imaginary), 5, axis=0)
    expected = np.zeros_like(x)
    for n in range(5):
        for m in range(5):
            expected[:, n] += kernel[(n - m) % 5] * x[:, m]
    np.testing.assert_allclose(numpy(layer(x)), expected, atol=1e-5)


@pytest.mark.parametrize("length", [5, 6])
def test_a_filter_of_ones_passes_everything(length):
    layer, x = filter_case(length)
    pass_all(layer)
    np.testing.assert_allclose(numpy(layer(x)), x, atol=1e-6)


def test_a_turned_input_has_a_turned_output():
    layer, x = filter_case(6)
    for slots in (1, 4):
        expected = np.roll(numpy(layer(x)), slots, axis=1)
        result = numpy(layer(np.roll(x, slots, axis=1)))
        np.testing.assert_allclose(result, expected, atol=1e-5)


def test_another_length_is_refused():
    layer, x = filter_case(6)
    with pytest.raises(ValueError, match="of length 6 cannot read 5 slots"):
        layer(x[:, 1:])


def test_shapes_and_round_trip():
    layer, x = filter_case(6)
    assert layer.compute_output_shape(x.shape) == tuple(layer(x).shape)
    shape = layer.compute_output_shape(x.shape, last_only=True)
    assert shape == tuple(layer(x, last_only=True).shape) == (B, 1, D)
    copy = round_trip(layer, x)
    np.testing.assert_array_equal(numpy(copy(x)), numpy(layer(x)))


def test_mixed_precision():
    (layer, x), (half, _) = filter_case(6), filter_case(6, dtype="mixed_bfloat16")
    assert {v.dtype for v in half.variables} == {"float32"}
    result = half(x)
    assert keras.backend.standardize_dtype(result.dtype) == "bfloat16"
    result = numpy(ops.cast(result, "float32"))
    np.testing.assert_allclose(result, numpy(layer(x)), atol=0.05)
