import keras
import numpy as np
import pytest
from keras import ops
from support import layer_weights, numpy_equations
from support.gradients import gradients
from support.layer_weights import numpy, randomize, round_trip

from sar_tf.layers.attention import (
    MaskedAttention,
    TransitionEncoder,
    TransitionFusion,
)
from sar_tf.layers.target_attention import TargetAttention

B, N, M, D = 4, 3, 5, 8
# All keys; some, with gaps; the last only; none.
MASK = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 0, 0], [0, 0, 0, 0, 1], [0] * 5], bool)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def attention_case(num_heads=2, **kwargs):
    """A layer with random weights, and queries, keys and a mask."""
    inputs = random(B, N, D), random(B, M, D, seed=1), MASK
    layer = MaskedAttention(num_heads, **kwargs)
    layer(*inputs)
    return randomize(layer), inputs


def encoder_case(**kwargs):
    inputs = random(B, N, D), random(B, M, D, seed=1), MASK
    layer = TransitionEncoder(num_heads=2, **kwargs)
    layer(*inputs)
    return randomize(layer), inputs


def fusion_case(**kwargs):
    inputs = random(B, M, D), random(B, M, D, seed=1), MASK
    layer = TransitionFusion(num_heads=2, **kwargs)
    layer(*inputs)
    return randomize(layer), inputs


def target_case(**kwargs):
    inputs = random(B, M, D), random(B, N, D, seed=1), MASK
    layer = TargetAttention(**kwargs)
    layer(*inputs)
    return randomize(layer), inputs


CASES = [attention_case, encoder_case, fusion_case, target_case]


@pytest.mark.parametrize("num_heads", [1, 2, 4])
def test_attention_values(num_heads):
    layer, (queries, keys, mask) = attention_case(num_heads)
    weights = layer_weights.attention(layer)
    expected = [
        numpy_equations.attention(weights, q, k, np.tile(m, (N, 1)), num_heads)
        for q, k, m in zip(queries, keys, mask, strict=True)
    ]
    result = numpy(layer(queries, keys, mask))
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_self_attention_values():
    layer, (_, keys, mask) = attention_case()
    weights = layer_weights.attention(layer)
    expected = [
        numpy_equations.attention(weights, k, k, np.tile(m, (M, 1)), 2)
        for k, m in zip(keys, mask, strict=True)
    ]
    keys = ops.convert_to_tensor(keys)
    result = numpy(layer(keys, keys, mask))
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_attention_without_a_key_has_a_zero_context():
    layer, inputs = attention_case()
    result = numpy(layer(*inputs))
    bias = numpy(layer.output_dense.bias)
    np.testing.assert_allclose(result[3], np.tile(bias, (N, 1)), atol=1e-6)


def test_attention_refuses_heads_that_do_not_divide_the_width():
    with pytest.raises(ValueError, match="num_heads=3 does not divide the width 8"):
        attention_case(num_heads=3)


def test_encoder_values():
    layer, (x, context, mask) = encoder_case()
    weights = layer_weights.encoder(layer)
    expected = [
        numpy_equations.encoder(weights, *row[:2], np.tile(row[2], (N, 1)), num_heads=2)
        for row in zip(x, context, mask, strict=True)
    ]
    np.testing.assert_allclose(numpy(layer(x, context, mask)), expected, atol=1e-5)


def test_encoder_with_a_leaky_relu():
    """Of slope 1 it is the identity, and so is relu(x) - relu(-x)."""
    layer, inputs = encoder_case(negative_slope=1.0)
    weights = layer_weights.encoder(layer)
    linear = {
        "linear1.weight": np.concatenate([w := weights["linear1.weight"], -w]),
        "linear1.bias": np.concatenate([b := weights["linear1.bias"], -b]),
        "linear2.weight": np.concatenate([w := weights["linear2.weight"], -w], axis=1),
    }
    expected = [
        numpy_equations.encoder(
            {**weights, **linear}, *row[:2], np.tile(row[2], (N, 1)), num_heads=2
        )
        for row in zip(*inputs, strict=True)
    ]
    np.testing.assert_allclose(numpy(layer(*inputs)), expected, atol=1e-5)


def test_encoder_is_post_norm():
    """With gamma 1 and beta 0, each output has mean 0 and variance 1."""
    layer, inputs = encoder_case()
    layer.feed_forward_norm.gamma.assign(np.ones(D))
    layer.feed_forward_norm.beta.assign(np.zeros(D))
    result = numpy(layer(*inputs))
    np.testing.assert_allclose(result.mean(-1), 0, atol=1e-6)
    np.testing.assert_allclose(result.var(-1), 1, atol=1e-3)


def test_the_mixed_encoder_is_two_calls_with_the_same_weights():
    """Eq. 4 on the merged sequence, with M and minus infinity, in NumPy."""
    types = np.array(["rec", "search", "search", "rec", "search", "rec", "rec"])
    mixed = random(len(types), D)
    layer, _ = encoder_case()
    other_type = types[:, None] != types[None, :]
    weights = layer_weights.encoder(layer)
    expected = numpy_equations.encoder(weights, mixed, mixed, other_type, num_heads=2)
    rec, search = mixed[None, types == "rec"], mixed[None, types == "search"]
    s2r = layer(rec, search, np.ones((1, 3), bool))
    r2s = layer(search, rec, np.ones((1, 4), bool))
    np.testing.assert_allclose(numpy(s2r)[0], expected[types == "rec"], atol=1e-5)
    np.testing.assert_allclose(numpy(r2s)[0], expected[types == "search"], atol=1e-5)


@pytest.mark.parametrize("variant", ["reference", "paper"])
def test_fusion_values(variant):
    layer, (same, cross, mask) = fusion_case(variant=variant)
    weights = layer_weights.fusion(layer)
    result = numpy(layer(same, cross, mask))
    assert np.all(np.isfinite(result))
    for row in range(B):
        kept = mask[row]
        expected = numpy_equations.fusion(
            weights, same[row, kept], cross[row, kept], num_heads=2, variant=variant
        )
        np.testing.assert_allclose(result[row, kept], expected, atol=1e-5)


def test_target_attention_values():
    layer, (history, candidates, mask) = target_case()
    kernel = numpy(layer.kernel)
    expected = [
        [numpy_equations.target_attention(kernel, h[m], c) for c in cs]
        for h, cs, m in zip(history, candidates, mask, strict=True)
    ]
    result = numpy(layer(history, candidates, mask))
    np.testing.assert_allclose(result, expected, atol=1e-5)
    np.testing.assert_array_equal(result[3], 0)


def test_target_attention_in_parts():
    """A softmax and values; candidates that all histories share."""
    layer, (history, candidates, mask) = target_case()
    weights, values = (numpy(x) for x in layer(history, candidates, mask, apart=True))
    np.testing.assert_allclose(weights.sum(axis=2), 1, atol=1e-6)
    np.testing.assert_array_equal(values, history * mask[..., None])
    expected = numpy(layer(history, candidates, mask))
    np.testing.assert_allclose(weights @ values, expected, atol=1e-6)
    shared = np.repeat(candidates[:1], B, axis=0)
    result = numpy(layer(history, candidates[:1], mask))
    np.testing.assert_allclose(result, numpy(layer(history, shared, mask)), atol=1e-6)


def test_target_attention_by_hand():
    """Two slots at logits log 3 and 0: weights 3/4 and 1/4."""
    layer = TargetAttention()
    history = np.array([[[1.0, 0.0], [0.0, 1.0], [7.0, 7.0]]], "float32")
    candidates = np.array([[[1.0, 0.0]]], "float32")
    mask = np.array([[1, 1, 0]], bool)
    layer(history, candidates, mask)
    layer.kernel.assign([[np.log(3), 5.0], [0.0, 5.0]])
    result = numpy(layer(history, candidates, mask))
    np.testing.assert_allclose(result, [[[0.75, 0.25]]], rtol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_masked_slots_do_not_matter(case):
    layer, (first, second, mask) = case()
    of_keys = second if case in (attention_case, encoder_case) else first
    changed = np.where(mask[..., None], of_keys, 1e3).astype("float32")
    before = numpy(layer(first, second, mask))
    if of_keys is second:
        after = numpy(layer(first, changed, mask))
    else:
        after = numpy(layer(changed, second, mask))
    if case is fusion_case:
        before, after = before[mask], after[mask]
    np.testing.assert_allclose(after, before, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_wider_padding_changes_nothing(case):
    layer, (first, second, mask) = case()
    before = numpy(layer(first, second, mask))
    padding = ((0, 0), (0, 3), (0, 0))
    wide = [np.pad(x, padding) if x.shape[1] == M else x for x in (first, second)]
    after = numpy(layer(*wide, np.pad(mask, padding[:2])))
    np.testing.assert_allclose(after[:, : before.shape[1]], before, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_finite_where_no_key_is_left(case):
    layer, (first, second, mask) = case()
    for kept in (mask, np.zeros_like(mask)):
        result = gradients(
            lambda kept=kept: ops.sum(layer(first, second, kept) ** 2),
            layer.trainable_variables,
        )
        assert all(np.all(np.isfinite(gradient)) for gradient in result)


@pytest.mark.parametrize("case", CASES)
def test_a_batch_of_no_rows(case):
    layer, inputs = case()
    expected = layer(*inputs).shape[1:]
    assert layer(*(x[:0] for x in inputs)).shape == (0, *expected)


@pytest.mark.parametrize("case", CASES)
def test_output_shape(case):
    layer, inputs = case()
    shapes = [x.shape for x in inputs]
    assert layer.compute_output_shape(*shapes) == tuple(layer(*inputs).shape)


@pytest.mark.parametrize("case", CASES)
def test_round_trip(case):
    options = {attention_case: {"dropout": 0.2}, fusion_case: {"variant": "paper"}}
    layer, inputs = case(**options.get(case, {}))
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


@pytest.mark.parametrize("case", CASES[:3])
def test_dropout_acts_in_training_only(case):
    layer, inputs = case(dropout=0.5)
    plain, _ = case()
    expected = numpy(plain(*inputs))
    np.testing.assert_array_equal(numpy(layer(*inputs)), expected)
    np.testing.assert_array_equal(numpy(layer(*inputs, training=False)), expected)
    dropped = numpy(layer(*inputs, training=True))
    assert not np.allclose(dropped, expected)
    assert not np.allclose(dropped, numpy(layer(*inputs, training=True)))


def test_inner_dropout_is_apart():
    inner = {"dropout": 0.0, "inner_dropout": 0.5}
    for options in (inner, {"dropout": 0.5, "inner_dropout": 0.0}):
        layer, inputs = encoder_case(**options)
        dropped = numpy(layer(*inputs, training=True))
        assert not np.allclose(dropped, numpy(layer(*inputs)))


def test_unknown_variant_is_named():
    with pytest.raises(ValueError, match="not 'official'"):
        TransitionFusion(num_heads=2, variant="official")
