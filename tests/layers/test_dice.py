import keras
import numpy as np
import pytest
from keras import ops
from support.gradients import gradients
from support.layer_weights import numpy, round_trip

from sar_tf.layers.dice import Dice

B, C, K = 6, 3, 4


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(2, 3, shape).astype("float32")


def dice_of(x, **kwargs):
    layer = Dice(**kwargs)
    layer.build(x.shape)
    layer.alpha.assign(np.linspace(-0.5, 1, x.shape[-1]))
    return layer


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numpy_dice(x, alpha, mean, variance):
    p = sigmoid((x - mean) / np.sqrt(variance + 1e-8))
    return p * x + (1 - p) * alpha * x


def test_values_in_training():
    x = random(B, C, K)
    layer = dice_of(x)
    expected = numpy_dice(x, numpy(layer.alpha), x.mean((0, 1)), x.var((0, 1)))
    result = numpy(layer(x, training=True))
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_values_in_inference():
    x = random(B, C, K)
    layer = dice_of(x)
    mean, variance = random(K, seed=1), np.arange(1.0, K + 1)
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(variance)
    expected = numpy_dice(x, numpy(layer.alpha), mean, variance)
    np.testing.assert_allclose(numpy(layer(x)), expected, rtol=1e-4, atol=1e-5)


def test_a_new_layer_is_s_sigmoid_s():
    """In inference: alpha 0, mean 0 and variance 1."""
    x = random(B, K)
    np.testing.assert_allclose(numpy(Dice()(x)), x * sigmoid(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("training", [False, True])
def test_alpha_one_is_the_identity(training):
    x = random(B, K)
    layer = dice_of(x)
    layer.alpha.assign(np.ones(K))
    result = numpy(layer(x, training=training))
    np.testing.assert_allclose(result, x, rtol=1e-6)


def test_statistics_leave_out_what_is_masked():
    x, mask = random(B, C, K), np.zeros((B, C), bool)
    mask[:4, :2] = True
    layer = dice_of(x)
    whole = numpy(layer(np.where(mask[..., None], x, 1e3), mask, training=True))
    alone = dice_of(x)
    expected = numpy(alone(x[:4, :2], training=True))
    np.testing.assert_allclose(whole[:4, :2], expected, rtol=1e-5, atol=1e-6)
    for statistic in ("moving_mean", "moving_variance"):
        np.testing.assert_allclose(
            numpy(getattr(layer, statistic)),
            numpy(getattr(alone, statistic)),
            rtol=1e-5,
        )


def test_moving_averages():
    x = random(B, C, K)
    layer = dice_of(x, momentum=0.75)
    layer(x)
    np.testing.assert_array_equal(numpy(layer.moving_mean), 0)
    np.testing.assert_array_equal(numpy(layer.moving_variance), 1)
    layer(x, training=True)
    mean, variance = x.mean((0, 1)), x.var((0, 1))
    np.testing.assert_allclose(numpy(layer.moving_mean), mean / 4, rtol=1e-5)
    expected = 0.75 + variance / 4
    np.testing.assert_allclose(numpy(layer.moving_variance), expected, rtol=1e-5)


def test_moving_averages_are_weights_but_not_trained():
    layer = dice_of(random(B, K))
    names = [variable.name for variable in layer.weights]
    assert sorted(names) == ["alpha", "moving_mean", "moving_variance"]
    assert [variable.name for variable in layer.trainable_variables] == ["alpha"]


@pytest.mark.parametrize("rows", [0, B])
def test_a_batch_in_which_nothing_counts(rows):
    x = random(rows, K)
    layer = dice_of(random(B, K))
    result = numpy(layer(x, np.zeros(rows, bool), training=True))
    assert np.all(np.isfinite(result))
    np.testing.assert_array_equal(numpy(layer.moving_mean), 0)
    np.testing.assert_array_equal(numpy(layer.moving_variance), 1)


def test_a_batch_of_one():
    """The variance is 0 and p is 1/2."""
    x = random(1, K)
    layer = dice_of(x)
    expected = x * (1 + numpy(layer.alpha)) / 2
    np.testing.assert_allclose(numpy(layer(x, training=True)), expected, rtol=1e-5)


@pytest.mark.parametrize("rows", [1, B])
def test_gradients(rows):
    """Of alpha: the sum of (1 - p(s)) s; it is finite where the variance is 0."""
    x = random(rows, K)
    layer = dice_of(x)
    (gradient,) = gradients(
        lambda: ops.sum(layer(x, training=True)), layer.trainable_variables
    )
    p = sigmoid((x - x.mean(0)) / np.sqrt(x.var(0) + 1e-8))
    np.testing.assert_allclose(gradient, ((1 - p) * x).sum(0), rtol=1e-4)


def test_statistics_have_gradients():
    """A constant added to all inputs moves the mean with them: p does not change."""
    x, shift = random(B, K), keras.Variable(np.zeros(K, "float32"))
    layer = dice_of(x)
    (gradient,) = gradients(
        lambda: ops.sum(layer(ops.add(x, shift), training=True)), [shift]
    )
    p = sigmoid((x - x.mean(0)) / np.sqrt(x.var(0) + 1e-8))
    expected = (p + (1 - p) * numpy(layer.alpha)).sum(0)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3)


def test_bfloat16_has_statistics_in_float32():
    x = random(4096, K)
    layer, half = dice_of(x), dice_of(x, dtype="mixed_bfloat16")
    result = half(ops.cast(x, "bfloat16"), training=True)
    assert keras.backend.standardize_dtype(result.dtype) == "bfloat16"
    expected = numpy(layer(x, training=True))
    np.testing.assert_allclose(
        numpy(ops.cast(result, "float32")), expected, rtol=0.05, atol=0.05
    )
    # In bfloat16 a sum of so many stops growing long before the end.
    assert {variable.dtype for variable in half.weights} == {"float32"}
    np.testing.assert_allclose(
        numpy(half.moving_variance), numpy(layer.moving_variance), rtol=1e-3
    )


def test_compiles_for_training():
    """On every backend; the moving averages are among what a step returns."""
    model = keras.Sequential([keras.Input((K,)), Dice(momentum=0.5)])
    model.compile("sgd", loss="mse", jit_compile=True)
    x = random(B, K)
    model.fit(x, x, epochs=1, verbose=0)
    moving_mean = numpy(model.layers[0].moving_mean)
    np.testing.assert_allclose(moving_mean, x.mean(0) / 2, rtol=1e-4)


def test_round_trip():
    x = random(B, K)
    layer = dice_of(x, momentum=0.9, epsilon=1e-4)
    layer(x, training=True)
    copy = round_trip(layer, x)
    np.testing.assert_array_equal(numpy(copy(x)), numpy(layer(x)))
    assert layer.compute_output_shape(x.shape) == x.shape
