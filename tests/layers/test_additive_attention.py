import numpy as np
from keras import ops
from support.gradients import gradients
from support.layer_weights import numpy, randomize, round_trip

from sar_tf.layers.additive_attention import AdditiveAttention

B, N, D, UNITS = 4, 5, 3, 2
LENGTHS = [5, 3, 1, 0]
MASK = np.arange(N) < np.array(LENGTHS)[:, None]


def attention_case(**kwargs):
    """Empty slots hold something too."""
    x = np.random.default_rng(0).normal(size=(B, N, D)).astype("float32")
    layer = AdditiveAttention(UNITS, **kwargs)
    layer(x, MASK)
    return randomize(layer, scale=1.0), x


def test_values():
    layer, x = attention_case()
    y, weights = (numpy(result) for result in layer(x, MASK))
    for row, length in enumerate(LENGTHS):
        terms = []
        for vector in x[row, :length]:
            hidden = vector @ numpy(layer.hidden.kernel) + numpy(layer.hidden.bias)
            terms.append(np.exp(np.tanh(hidden) @ numpy(layer.logit.kernel)[:, 0]))
        expected = np.array(terms) / np.sum(terms)
        np.testing.assert_allclose(weights[row, :length], expected, rtol=1e-5)
        np.testing.assert_array_equal(weights[row, length:], 0)
        np.testing.assert_allclose(y[row], expected @ x[row, :length], atol=1e-6)
    np.testing.assert_array_equal(y[3], 0)
    assert weights[2, 0] == 1


def test_slots_may_be_permuted_added_and_none():
    layer, x = attention_case()
    y = numpy(layer(x, MASK)[0])
    order = [4, 2, 0, 1, 3]
    np.testing.assert_allclose(layer(x[:, order], MASK[:, order])[0], y, atol=1e-6)
    longer = np.concatenate([x, np.full_like(x, 9)], axis=1)
    mask = np.concatenate([MASK, np.zeros_like(MASK)], axis=1)
    np.testing.assert_allclose(layer(longer, mask)[0], y, atol=1e-6)
    np.testing.assert_array_equal(layer(x[:, :0], MASK[:, :0])[0], np.zeros((B, D)))


def test_gradients_are_finite_and_not_of_empty_rows():
    layer, x = attention_case()
    for row, is_zero in ((1, False), (3, True)):
        one, mask = x[row : row + 1], MASK[row : row + 1]
        result = gradients(
            lambda one=one, mask=mask: ops.sum(ops.square(layer(one, mask)[0])),
            layer.trainable_variables,
        )
        assert all(np.isfinite(gradient).all() for gradient in result)
        assert all((gradient == 0).all() for gradient in result) == is_zero


def test_bfloat16_and_its_config():
    layer, x = attention_case(dtype="mixed_bfloat16")
    y, weights = layer(x, MASK)
    assert (y.dtype, weights.dtype) == ("bfloat16", "float32")
    assert round_trip(layer, x, MASK).units == UNITS
