import keras
import numpy as np
from keras import ops
from support.gradients import gradients
from support.layer_weights import numpy, randomize, round_trip

from sar_tf.layers.augru import AUGRU

B, C, N, K, D = 3, 2, 4, 3, 5
LENGTHS = [4, 2, 0]
MASK = np.arange(N) < np.array(LENGTHS)[:, None]


def augru_case(**kwargs):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(B, N, K)).astype("float32")
    attention = rng.random((B, C, N)).astype("float32") * MASK[:, None]
    layer = AUGRU(D, **kwargs)
    layer(x, attention)
    return randomize(layer), (x, attention)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numpy_augru(layer, x, attention):
    """One candidate of one row, step by step; gates u and r, then the candidate."""
    w_u, w_r, w = np.split(numpy(layer.input_dense.kernel), 3, axis=1)
    b_u, b_r, b = np.split(numpy(layer.input_dense.bias), 3)
    u_u, u_r, u = np.split(numpy(layer.cell.recurrent_kernel), 3, axis=1)
    state = np.zeros(D)
    for s, a in zip(x, attention, strict=True):
        update = a * sigmoid(s @ w_u + state @ u_u + b_u)
        reset = sigmoid(s @ w_r + state @ u_r + b_r)
        new = np.tanh(s @ w + reset * (state @ u) + b)
        state = (1 - update) * state + update * new
    return state


def test_values():
    layer, (x, attention) = augru_case()
    expected = [
        [numpy_augru(layer, row, a) for a in weights]
        for row, weights in zip(x, attention, strict=True)
    ]
    np.testing.assert_allclose(numpy(layer(x, attention)), expected, atol=1e-5)


def test_without_attention_the_state_stays_zero():
    layer, (x, attention) = augru_case()
    result = numpy(layer(x, attention))
    np.testing.assert_array_equal(result[LENGTHS.index(0)], 0)
    np.testing.assert_array_equal(numpy(layer(x, 0 * attention)), 0)


def test_empty_slots_do_not_matter():
    """Neither their content nor their number."""
    layer, (x, attention) = augru_case()
    wide = np.pad(np.where(MASK[..., None], x, np.float32(9)), ((0, 0), (0, 3), (0, 0)))
    result = layer(wide, np.pad(attention, ((0, 0), (0, 0), (0, 3))))
    np.testing.assert_allclose(numpy(result), numpy(layer(x, attention)), atol=1e-6)


def test_gradients_are_finite():
    layer, (x, attention) = augru_case()
    for weights in (attention, 0 * attention):
        result = gradients(
            lambda weights=weights: ops.sum(layer(x, weights)),
            layer.trainable_variables,
        )
        assert all(np.all(np.isfinite(gradient)) for gradient in result)


def test_candidates_in_any_number():
    """As in a served model, where the number is not known when it is traced."""
    layer, inputs = augru_case()
    symbolic = keras.Input((N, K)), keras.Input((None, N))
    model = keras.Model(symbolic, layer(*symbolic))
    np.testing.assert_allclose(numpy(model(inputs)), numpy(layer(*inputs)), atol=1e-6)


def test_shapes_and_round_trip():
    layer, (x, attention) = augru_case()
    shape = layer.compute_output_shape(x.shape, attention.shape)
    assert shape == tuple(layer(x, attention).shape) == (B, C, D)
    assert tuple(layer(x[:0], attention[:0]).shape) == (0, C, D)
    copy = round_trip(layer, x, attention)
    np.testing.assert_array_equal(numpy(copy(x, attention)), numpy(layer(x, attention)))


def test_mixed_precision():
    (layer, inputs), (half, _) = augru_case(), augru_case(dtype="mixed_bfloat16")
    assert {v.dtype for v in half.variables} == {"float32"}
    result = half(*inputs)
    assert keras.backend.standardize_dtype(result.dtype) == "bfloat16"
    result = numpy(ops.cast(result, "float32"))
    np.testing.assert_allclose(result, numpy(layer(*inputs)), atol=0.05)
