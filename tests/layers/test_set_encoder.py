import numpy as np
import pytest
from support.layer_weights import numpy, randomize, round_trip

from sar_tf.layers.set_encoder import SetEncoder

B, N, D = 3, 5, 4
MASK = np.arange(N) < np.array([5, 3, 0])[:, None]
X = np.random.default_rng(0).normal(size=(B, N, D)).astype("float32")
CANDIDATES = np.random.default_rng(1).normal(size=(B, 7, D)).astype("float32")


def encoder_case(**kwargs):
    """Its values are in test_user.py."""
    layer = SetEncoder(2, 6, **kwargs)
    layer(X, X, MASK)
    return randomize(layer)


def test_one_row_is_that_of_the_whole_layer():
    """A candidate behind the members, in a pass of its own, and all at once."""
    layer = encoder_case()
    result = numpy(layer(CANDIDATES, X, MASK, joins=True))
    for i in range(CANDIDATES.shape[1]):
        members = np.concatenate([X, CANDIDATES[:, i : i + 1]], axis=1)
        mask = np.pad(MASK, ((0, 0), (0, 1)), constant_values=True)
        whole = numpy(layer(members, members, mask))
        np.testing.assert_allclose(result[:, i], whole[:, -1], atol=1e-5)


def test_each_may_see_others():
    layer = encoder_case()
    mask = np.tile(MASK[:, None], (1, N, 1))
    mask[:, 1, 2:] = False
    result, expected = numpy(layer(X, X, mask)), numpy(layer(X, X, MASK))
    np.testing.assert_allclose(result[:2, 0], expected[:2, 0], atol=1e-6)
    alone = numpy(layer(X[:, :2], X[:, :2], MASK[:, :2]))
    np.testing.assert_allclose(result[:2, 1], alone[:2, 1], atol=1e-6)


def test_empty_slots_are_not_seen():
    layer = encoder_case()
    changed = np.where(MASK[:, :, None], X, 9.0).astype("float32")
    np.testing.assert_allclose(
        numpy(layer(CANDIDATES, changed, MASK, joins=True)),
        numpy(layer(CANDIDATES, X, MASK, joins=True)),
        atol=1e-6,
    )


def test_config_round_trip():
    layer = encoder_case(dropout=0.25, epsilon=1e-5)
    copy = round_trip(layer, X, X, MASK)
    assert copy.dropout.rate == 0.25
    np.testing.assert_array_equal(numpy(copy(X, X, MASK)), numpy(layer(X, X, MASK)))


def test_heads_divide_the_width():
    with pytest.raises(ValueError, match="num_heads=3 does not divide the width 4"):
        SetEncoder(3, 6)(X, X, MASK)
