import numpy as np
import pytest
from support.layer_weights import numpy, randomize, round_trip

from sar_tf.layers.siamese_block import SiameseBlock

B, N, D = 3, 5, 4
MASK = np.arange(N) < np.array([5, 3, 1])[:, None]
OTHER_MASK = np.arange(N) < np.array([2, 5, 0])[:, None]
X, OTHER = np.random.default_rng(0).normal(size=(2, B, N, D)).astype("float32")


def block_case(**kwargs):
    """Its values are in test_unified_ssr.py."""
    layer = SiameseBlock(2, 6, **kwargs)
    layer(X, MASK, OTHER, OTHER_MASK)
    return randomize(layer)


def test_empty_slots_of_both_sequences_are_not_seen():
    layer = block_case()
    x = np.where(MASK[:, :, None], X, 9.0).astype("float32")
    other = np.where(OTHER_MASK[:, :, None], OTHER, 9.0).astype("float32")
    result = numpy(layer(x, MASK, other, OTHER_MASK))
    expected = numpy(layer(X, MASK, OTHER, OTHER_MASK))
    np.testing.assert_allclose(result[MASK], expected[MASK], atol=1e-6)


def test_config_round_trip():
    layer = block_case(dropout=0.25, is_causal=True)
    copy = round_trip(layer, X, MASK, OTHER, OTHER_MASK)
    assert copy.self_attention.is_causal and copy.dropout.rate == 0.25
    np.testing.assert_array_equal(
        numpy(copy(X, MASK, OTHER, OTHER_MASK)),
        numpy(layer(X, MASK, OTHER, OTHER_MASK)),
    )


@pytest.mark.parametrize("part", ["self_attention", "cross_attention"])
def test_both_attentions_have_the_dropout(part):
    assert getattr(block_case(dropout=0.5), part).dropout.rate == 0.5
