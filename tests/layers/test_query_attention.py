import numpy as np
import pytest
from keras import ops
from support.gradients import gradients
from support.layer_weights import numpy, randomize, round_trip

from sar_tf.layers.query_attention import QueryAttention

B, N, D, BETA = 4, 5, 3, 2
LENGTHS = [5, 3, 1, 0]
MASK = np.arange(N) < np.array(LENGTHS)[:, None]


def attention_case(to_nothing=False, **kwargs):
    rng = np.random.default_rng(0)
    query = rng.normal(size=(B, D)).astype("float32")
    items = (rng.normal(size=(B, N, D)) * MASK[:, :, None]).astype("float32")
    layer = QueryAttention(BETA, attends_to_nothing=to_nothing, **kwargs)
    layer(query, items, MASK)
    return randomize(layer, scale=1.0), (query, items, MASK)


def numpy_f(layer, query, item):
    """f(q, i) = W_h^T (tanh(W_f q + b_f) i): the queries, their products, the mix."""
    hidden = query @ numpy(layer.queries.kernel) + numpy(layer.queries.bias)
    products = np.tanh(hidden).reshape(BETA, D) @ item
    return products @ numpy(layer.mix)[:, 0]


@pytest.mark.parametrize("to_nothing", [False, True])
def test_values(to_nothing):
    layer, (query, items, mask) = attention_case(to_nothing)
    u, weights = (numpy(x) for x in layer(query, items, mask))
    for row, length in enumerate(LENGTHS):
        terms = [np.exp(numpy_f(layer, query[row], items[row, j])) for j in range(N)]
        terms = np.array(terms[:length])
        expected = terms / (to_nothing + terms.sum()) if length else terms
        np.testing.assert_allclose(weights[row, :length], expected, rtol=1e-4)
        np.testing.assert_array_equal(weights[row, length:], 0)
        np.testing.assert_allclose(u[row], expected @ items[row, :length], atol=1e-5)


def test_the_zero_vector_gates_the_attention():
    """u_ZAM = sigmoid(logsumexp f) u_AEM."""
    layer, inputs = attention_case()
    gated, _ = attention_case(to_nothing=True)
    gated.set_weights(layer.get_weights())
    query, items, _ = inputs
    expected, result = numpy(layer(*inputs)[0]), numpy(gated(*inputs)[0])
    for row, length in enumerate(LENGTHS):
        f = [numpy_f(layer, query[row], items[row, j]) for j in range(length)]
        total = np.exp(f).sum()
        gate = total / (1 + total)
        assert (0 < gate < 1) == (length > 0)
        np.testing.assert_allclose(result[row], gate * expected[row], atol=1e-5)


@pytest.mark.parametrize(("scale", "to_nothing"), [(1e4, False), (-1e4, True)])
def test_extreme_logits(scale, to_nothing):
    """All the weight on nothing, or none of it, without overflow."""
    layer, (query, items, mask) = attention_case(True)
    f = np.array([[numpy_f(layer, query[r], i) for i in items[r]] for r in range(B)])
    # Items of logits of one sign: turned round where f is negative.
    items = (items * np.sign(f)[:, :, None]).astype("float32")
    layer.mix.assign(numpy(layer.mix) * scale)
    weights = numpy(layer(query, items, mask)[1])
    assert np.all(np.isfinite(weights))
    expected = 0.0 if to_nothing else 1.0
    np.testing.assert_allclose(weights.sum(1)[:3], expected, atol=1e-5)


@pytest.mark.parametrize("to_nothing", [False, True])
def test_an_empty_history_has_finite_gradients(to_nothing):
    layer, (query, items, _) = attention_case(to_nothing)
    empty = np.zeros((B, N), bool)
    u, weights = layer(query, items, empty)
    assert not numpy(u).any() and not numpy(weights).any()
    result = gradients(
        lambda: ops.sum(layer(query, items, empty)[0]), layer.trainable_variables
    )
    assert all(np.all(np.isfinite(gradient)) for gradient in result)


def test_config_round_trip():
    layer, inputs = attention_case(True)
    copy = round_trip(layer, *inputs)
    for one, other in zip(copy(*inputs), layer(*inputs), strict=True):
        np.testing.assert_array_equal(numpy(one), numpy(other))


def test_bfloat16():
    layer, inputs = attention_case()
    half, _ = attention_case(dtype="mixed_bfloat16")
    u, weights = half(*inputs)
    assert u.dtype == "bfloat16" and weights.dtype == "float32"
    expected = numpy(layer(*inputs)[0])
    np.testing.assert_allclose(
        numpy(ops.cast(u, "float32")), expected, atol=0.05, rtol=0.05
    )
