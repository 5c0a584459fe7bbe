import numpy as np
from support.layer_weights import numpy, randomize, round_trip

from sar_tf.layers.dice_network import DiceNetwork

X = np.random.default_rng(0).normal(size=(6, 3, 4)).astype("float32")
MASK = np.array([1, 1, 0, 1, 0, 1], bool)[:, None] * np.ones((6, 3), bool)


def network_of(units=(5, 3), **kwargs):
    layer = DiceNetwork(units, **kwargs)
    layer(X, MASK)
    return randomize(layer)


def test_values_in_training():
    """Statistics of what counts; p bends each channel at its mean."""
    layer = network_of()
    x = X
    for dense, dice in zip(layer.hidden, layer.dices, strict=True):
        s = x @ numpy(dense.kernel) + numpy(dense.bias)
        p = 1 / (1 + np.exp(-(s - s[MASK].mean(0)) / np.sqrt(s[MASK].var(0) + 1e-8)))
        x = p * s + (1 - p) * numpy(dice.alpha) * s
    expected = (x @ numpy(layer.logit.kernel))[..., 0] + numpy(layer.logit.bias)
    result = numpy(layer(X, MASK, training=True))
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_shapes_and_round_trip():
    for units in ((5, 3), ()):
        layer = network_of(units)
        assert layer.compute_output_shape(X.shape) == (6, 3)
        copy = round_trip(layer, X, MASK)
        np.testing.assert_array_equal(numpy(copy(X, MASK)), numpy(layer(X, MASK)))
