import keras
import numpy as np
import pytest
from support.layer_weights import numpy, randomize, round_trip

from sar_tf.layers.pre_norm import PreNormBlock, sinusoids

B, N, D, INNER = 4, 5, 4, 6
LENGTHS = [5, 3, 1, 2]
MASK = np.arange(N) < np.array(LENGTHS)[:, None]
X = np.random.default_rng(0).normal(size=(B, N, D)).astype("float32")


def block_case(**kwargs):
    layer = PreNormBlock(2, INNER, **kwargs)
    layer(X, MASK)
    return randomize(layer)


def numpy_norm(norm, x):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return x * numpy(norm.gamma) + numpy(norm.beta)


def numpy_block(layer):
    keys = numpy_norm(layer.mix_norm, X) if layer.normalizes_input else X
    x = X + numpy(layer.attention(keys, keys, MASK))
    into, out = layer.feed_forward_in, layer.feed_forward_out
    s = numpy_norm(layer.feed_forward_norm, x) @ numpy(into.kernel) + numpy(into.bias)
    hidden = 0.5 * s * (1 + np.tanh(np.sqrt(2 / np.pi) * (s + 0.044715 * s**3)))
    return x + hidden @ numpy(out.kernel) + numpy(out.bias)


@pytest.mark.parametrize("normalizes_input", [False, True])
def test_values(normalizes_input):
    """The GELU is the approximation by tanh."""
    layer = block_case(normalizes_input=normalizes_input)
    names = {variable.path for variable in layer.trainable_variables}
    assert any("mix_norm" in name for name in names) == normalizes_input
    result = numpy(layer(X, MASK))
    np.testing.assert_allclose(result, numpy_block(layer), atol=1e-5)
    first = numpy(layer(X, MASK, first_only=True))
    np.testing.assert_allclose(first, result[:, :1], atol=1e-5)


def test_empty_slots_are_not_seen():
    layer = block_case()
    changed = np.where(MASK[:, :, None], X, 9.0).astype("float32")
    result, expected = numpy(layer(changed, MASK)), numpy(layer(X, MASK))
    np.testing.assert_allclose(result[MASK], expected[MASK], atol=1e-6)


def test_config_round_trip():
    layer = block_case(normalizes_input=False, dropout=0.25, epsilon=1e-5)
    copy = round_trip(layer, X, MASK)
    assert copy.mix_norm is None and copy.dropout.rate == 0.25
    np.testing.assert_array_equal(numpy(copy(X, MASK)), numpy(layer(X, MASK)))


@pytest.mark.parametrize("part", ["attention.dropout", "dropout"])
def test_dropout_in_training_only(part, monkeypatch):
    keras.utils.set_random_seed(1)
    layer = block_case(dropout=0.5)
    for own in (layer.attention.dropout, layer.dropout):
        is_it = own is (layer.dropout if part == "dropout" else layer.attention.dropout)
        monkeypatch.setattr(own, "rate", 0.5 if is_it else 0.0)
    draws = [numpy(layer(X, MASK, training=True)) for _ in range(2)]
    assert not np.allclose(*draws)
    still = [numpy(layer(X, MASK, training=False)) for _ in range(2)]
    np.testing.assert_array_equal(*still)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match=r"num_heads=3 does not divide the width 4"):
        PreNormBlock(3, INNER)(X, MASK)


def test_sinusoids():
    result = sinusoids(7, 6)
    assert result.dtype == "float32"
    for p in range(7):
        for k in range(3):
            angle = p / 10000 ** (2 * k / 6)
            np.testing.assert_allclose(result[p, 2 * k], np.sin(angle), atol=1e-6)
            np.testing.assert_allclose(result[p, 2 * k + 1], np.cos(angle), atol=1e-6)
