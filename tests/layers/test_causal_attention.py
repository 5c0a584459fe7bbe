import keras
import numpy as np
import pytest
from keras import ops
from support.gradients import gradients
from support.layer_weights import numpy, randomize, round_trip

from sar_tf.layers.causal_attention import CausalAttention, CausalBlock

B, N, D = 5, 6, 4
LENGTHS = [6, 3, 1, 5, 0]
MASK = np.arange(N) < np.array(LENGTHS)[:, None]


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def attention_case(num_heads=2, **kwargs):
    inputs = random(B, N, D), random(B, N, D, seed=1), MASK
    layer = CausalAttention(num_heads, **kwargs)
    layer(*inputs)
    return randomize(layer), inputs


def block_case(num_heads=2, **kwargs):
    inputs = random(B, N, D), MASK
    layer = CausalBlock(num_heads, **kwargs)
    layer(*inputs)
    return randomize(layer), inputs


CASES = [attention_case, block_case]


def with_keys(inputs, change):
    """The inputs with the keys, or what a block reads, changed."""
    *others, x, mask = inputs
    return *others, change(x), mask


def numpy_dense(dense, x):
    return x @ numpy(dense.kernel) + numpy(dense.bias)


def numpy_attention(layer, queries, keys):
    """One history without padding, a query and a head at a time."""
    q, k, v = (
        numpy_dense(dense, x)
        for dense, x in (
            (layer.query_dense, queries),
            (layer.key_dense, keys),
            (layer.value_dense, keys),
        )
    )
    size = D // layer.num_heads
    result = np.zeros_like(q)
    for t in range(len(q)):
        for head in range(layer.num_heads):
            part = slice(head * size, (head + 1) * size)
            logits = k[: t + 1, part] @ q[t, part] / np.sqrt(size)
            weights = np.exp(logits) / np.exp(logits).sum()
            result[t, part] = weights @ v[: t + 1, part]
    return result


def numpy_norm(norm, x):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-8)
    return x * numpy(norm.gamma) + numpy(norm.beta)


def numpy_block(layer, x):
    """The block's equations, for one history without padding."""
    queries = numpy_norm(layer.query_norm, x)
    attended = numpy_attention(layer.attention, queries, x) + queries
    y = numpy_norm(layer.feed_forward_norm, attended)
    hidden = np.maximum(numpy_dense(layer.feed_forward_in, y), 0)
    return y + numpy_dense(layer.feed_forward_out, hidden)


@pytest.mark.parametrize("num_heads", [1, 2, 4])
def test_attention_values(num_heads):
    layer, (queries, keys, mask) = attention_case(num_heads)
    result = numpy(layer(queries, keys, mask))
    for row, length in enumerate(LENGTHS):
        expected = numpy_attention(layer, queries[row, :length], keys[row, :length])
        np.testing.assert_allclose(result[row, :length], expected, atol=1e-5)
    np.testing.assert_array_equal(result[LENGTHS.index(0)], 0)


@pytest.mark.parametrize("num_heads", [1, 2])
def test_block_values(num_heads):
    layer, (x, mask) = block_case(num_heads)
    result = numpy(layer(x, mask))
    for row, length in enumerate(LENGTHS):
        expected = numpy_block(layer, x[row, :length])
        np.testing.assert_allclose(result[row, :length], expected, atol=1e-5)
    np.testing.assert_array_equal(result[~mask], 0)


def test_attention_by_hand():
    """Logits log 3 and 0 of the second slot: weights 3/4 and 1/4; the first has 1."""
    layer = CausalAttention(1)
    keys = np.array([[[1.0, 0.0], [0.0, 1.0]]], "float32")
    queries = np.tile(np.array([np.log(3) * np.sqrt(2), 0], "float32"), (1, 2, 1))
    mask = np.ones((1, 2), bool)
    layer(queries, keys, mask)
    for dense in (layer.query_dense, layer.key_dense, layer.value_dense):
        dense.kernel.assign(np.eye(2))
    result = numpy(layer(queries, keys, mask))
    np.testing.assert_allclose(result, [[[1, 0], [0.75, 0.25]]], rtol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_the_future_is_not_seen(case):
    layer, inputs = case()
    before = numpy(layer(*inputs))
    for slot in range(N):
        changed = with_keys(
            inputs, lambda x, s=slot: x + 5 * (np.arange(N) == s)[:, None]
        )
        after = numpy(layer(*(np.asarray(x, x.dtype) for x in changed)))
        np.testing.assert_allclose(after[:, :slot], before[:, :slot], atol=1e-5)
        assert not np.allclose(after[0, slot], before[0, slot])


def test_a_query_of_empty_slots_does_not_see_the_future():
    """The first slots of a left-padded history."""
    layer, (queries, keys, _) = attention_case()
    mask = np.arange(N) >= np.array(LENGTHS)[:, None]
    result = numpy(layer(queries, keys, mask))
    for row, length in enumerate(LENGTHS):
        np.testing.assert_array_equal(result[row, :length], 0)
        expected = numpy_attention(layer, queries[row, length:], keys[row, length:])
        np.testing.assert_allclose(result[row, length:], expected, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_masked_slots_do_not_matter(case):
    layer, inputs = case()
    changed = with_keys(inputs, lambda x: np.where(MASK[..., None], x, np.float32(1e3)))
    result, expected = numpy(layer(*changed)), numpy(layer(*inputs))
    np.testing.assert_allclose(result[MASK], expected[MASK], atol=1e-5)


def test_padding_may_stand_on_either_side():
    layer, (x, mask) = block_case()
    result = numpy(layer(x, mask))
    wide = np.pad(x, ((0, 0), (3, 4), (0, 0)))
    moved = numpy(layer(wide, np.pad(mask, ((0, 0), (3, 4)))))
    np.testing.assert_allclose(moved[:, 3 : 3 + N], result, atol=1e-5)


def test_newest_only():
    layer, (x, mask) = block_case()
    result = numpy(layer(x, mask))
    newest = numpy(layer(x, mask, newest_only=True))
    for row, length in enumerate(LENGTHS):
        expected = result[row, length - 1] if length else np.zeros(D)
        np.testing.assert_allclose(newest[row], expected, atol=1e-5)


@pytest.mark.parametrize("newest_only", [False, True])
def test_gradients_are_finite_for_empty_histories(newest_only):
    layer, (x, mask) = block_case()
    for kept in (mask, np.zeros_like(mask)):
        result = gradients(
            lambda kept=kept: ops.sum(layer(x, kept, newest_only=newest_only) ** 2),
            layer.trainable_variables,
        )
        assert all(np.all(np.isfinite(gradient)) for gradient in result)
    for gradient in result:  # Those of empty histories alone.
        np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("case", CASES)
def test_shapes(case):
    layer, inputs = case()
    shapes = [x.shape for x in inputs]
    assert layer.compute_output_shape(*shapes) == tuple(layer(*inputs).shape)
    assert tuple(layer(*(x[:0] for x in inputs)).shape) == (0, N, D)


def test_shape_of_the_newest_only():
    layer, (x, mask) = block_case()
    assert layer.compute_output_shape(x.shape, mask.shape, newest_only=True) == (B, D)


@pytest.mark.parametrize("case", CASES)
def test_round_trip(case):
    layer, inputs = case(dropout=0.2)
    copy = round_trip(layer, *inputs)
    np.testing.assert_array_equal(numpy(copy(*inputs)), numpy(layer(*inputs)))


@pytest.mark.parametrize("case", CASES)
def test_mixed_precision(case):
    layer, inputs = case()
    half, _ = case(dtype="mixed_bfloat16")
    assert {v.dtype for v in half.variables if "kernel" in v.name} == {"float32"}
    result = half(*inputs)
    assert keras.backend.standardize_dtype(result.dtype) == "bfloat16"
    result = numpy(ops.cast(result, "float32"))
    np.testing.assert_allclose(result, numpy(layer(*inputs)), atol=0.1, rtol=0.1)


@pytest.mark.parametrize("case", CASES)
def test_dropout_acts_in_training_only(case):
    layer, inputs = case(dropout=0.5)
    plain, _ = case()
    expected = numpy(plain(*inputs))
    np.testing.assert_array_equal(numpy(layer(*inputs, training=False)), expected)
    dropped = numpy(layer(*inputs, training=True))
    assert not np.allclose(dropped, expected)
    assert not np.allclose(dropped, numpy(layer(*inputs, training=True)))


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="num_heads=3 does not divide the width 4"):
        block_case(num_heads=3)
