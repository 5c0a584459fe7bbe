import keras
import numpy as np
import pytest
from keras import ops
from support.gradients import gradients
from support.layer_weights import numpy, randomize, round_trip

from sar_tf.layers.activation_unit import ACTIVATIONS, NORMALIZE, ActivationUnit

B, C, N, D = 5, 7, 4, 3
LENGTHS = [4, 2, 1, 3, 0]
MASK = np.arange(N) < np.array(LENGTHS)[:, None]


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def unit_case(units=(6, 5), **kwargs):
    inputs = random(B, N, D), random(B, C, D, seed=1), MASK
    layer = ActivationUnit(units, **kwargs)
    layer(*inputs)
    return randomize(layer), inputs


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numpy_weight(layer, v, h):
    """a_j, from the concatenation that the layer never makes."""
    x = np.concatenate([v, h, v - h, v * h])
    for dense in layer.denses:
        x = sigmoid(x @ numpy(dense.kernel) + numpy(dense.bias))
    return (x @ numpy(layer.weight_dense.kernel) + numpy(layer.weight_dense.bias))[0]


def numpy_unit(layer, history, v):
    """u(v) of one history without padding."""
    weights = np.array([numpy_weight(layer, v, h) for h in history])
    if layer.normalize == "scale":
        weights = weights / np.sqrt(D)
    elif layer.normalize == "softmax":
        weights = np.exp(weights) / np.exp(weights).sum()
    return weights @ history


@pytest.mark.parametrize("units", [(6,), (6, 5)])
@pytest.mark.parametrize("normalize", NORMALIZE)
def test_values(normalize, units):
    layer, (history, candidates, mask) = unit_case(units, normalize=normalize)
    expected = [
        [numpy_unit(layer, h[m], v) if m.any() else np.zeros(D) for v in vs]
        for h, vs, m in zip(history, candidates, mask, strict=True)
    ]
    result = numpy(layer(history, candidates, mask))
    np.testing.assert_allclose(result, expected, atol=1e-5)
    np.testing.assert_array_equal(result[LENGTHS.index(0)], 0)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_history_order_does_not_matter(activation):
    layer, (history, candidates, mask) = unit_case(activation=activation)
    order = np.random.default_rng(1).permutation(N)
    expected = numpy(layer(history, candidates, mask))
    result = numpy(layer(history[:, order], candidates, mask[:, order]))
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize(("normalize", "factor"), [("none", 2), ("softmax", 1)])
def test_a_doubled_history(normalize, factor):
    layer, (history, candidates, mask) = unit_case(normalize=normalize)
    expected = factor * numpy(layer(history, candidates, mask))
    doubled = np.concatenate([history, history], 1), candidates
    result = numpy(layer(*doubled, np.concatenate([mask, mask], 1)))
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_a_history_of_one_item_is_weighted_by_its_weight():
    layer, (history, candidates, _) = unit_case()
    mask = np.arange(N) < np.ones((B, 1))
    result = numpy(layer(history, candidates, mask))
    expected = [
        [numpy_weight(layer, v, h[0]) * h[0] for v in vs]
        for h, vs in zip(history, candidates, strict=True)
    ]
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("normalize", NORMALIZE)
def test_empty_slots_do_not_matter(activation, normalize, training):
    """Neither their content nor their number; `Dice` does not count them either."""

    def result_of(*inputs):
        layer, _ = unit_case(activation=activation, normalize=normalize)
        result = numpy(layer(*inputs, training=training))
        return [result, *(numpy(x) for x in layer.non_trainable_variables)]

    _, (history, candidates, mask) = unit_case()
    garbage = np.where(mask[..., None], history, np.float32(9))
    wide = np.pad(history, ((0, 0), (0, 3), (0, 0)))
    before = result_of(history, candidates, mask)
    for inputs in (
        (garbage, candidates, mask),
        (wide, candidates, np.pad(mask, ((0, 0), (0, 3)))),
    ):
        for x, y in zip(result_of(*inputs), before, strict=True):
            np.testing.assert_allclose(x, y, atol=1e-5)


@pytest.mark.parametrize("slice_size", [1, 2, 7, 20])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_slices_of_candidates_change_nothing(activation, slice_size):
    whole, inputs = unit_case(activation=activation)
    sliced, _ = unit_case(activation=activation, slice_size=slice_size)
    result = numpy(sliced(*inputs))
    np.testing.assert_allclose(result, numpy(whole(*inputs)), atol=1e-6)


def test_candidates_in_any_number():
    """As in a served model, where the number is not known when it is traced."""
    layer, inputs = unit_case()
    history = keras.Input((N, D)), keras.Input((None, D)), keras.Input((N,), dtype=bool)
    model = keras.Model(history, layer(*history))
    np.testing.assert_allclose(numpy(model(inputs)), numpy(layer(*inputs)), atol=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("normalize", NORMALIZE)
def test_gradients_are_finite_for_empty_histories(normalize, activation):
    layer, (history, candidates, mask) = unit_case(
        normalize=normalize, activation=activation
    )
    for kept in (mask, np.zeros_like(mask)):
        result = gradients(
            lambda kept=kept: ops.sum(
                layer(history, candidates, kept, training=True) ** 2
            ),
            layer.trainable_variables,
        )
        assert all(np.all(np.isfinite(gradient)) for gradient in result)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_round_trip(activation):
    layer, inputs = unit_case(activation=activation, normalize="softmax", slice_size=3)
    layer(*inputs, training=True)
    copy = round_trip(layer, *inputs)
    np.testing.assert_array_equal(numpy(copy(*inputs)), numpy(layer(*inputs)))
    shapes = [x.shape for x in inputs]
    assert layer.compute_output_shape(*shapes) == tuple(layer(*inputs).shape)


@pytest.mark.parametrize("slice_size", [2, 20])
def test_a_batch_of_no_rows(slice_size):
    layer, inputs = unit_case(slice_size=slice_size)
    assert tuple(layer(*(x[:0] for x in inputs)).shape) == (0, C, D)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("normalize", NORMALIZE)
def test_mixed_precision(normalize, activation):
    options = {"normalize": normalize, "activation": activation}
    layer, inputs = unit_case(**options)
    half, _ = unit_case(**options, dtype="mixed_bfloat16")
    assert {v.dtype for v in half.variables if "kernel" in v.name} == {"float32"}
    result = half(*inputs)
    assert keras.backend.standardize_dtype(result.dtype) == "bfloat16"
    result = numpy(ops.cast(result, "float32"))
    np.testing.assert_allclose(result, numpy(layer(*inputs)), atol=0.1, rtol=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"normalize": "sum"}, "normalize must be one of none, scale, softmax"),
        ({"activation": "relu"}, "activation must be one of sigmoid, dice"),
        ({"units": ()}, "units must name one hidden layer"),
    ],
)
def test_what_is_unknown_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ActivationUnit(**options)
