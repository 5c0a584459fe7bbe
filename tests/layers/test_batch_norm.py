import numpy as np
from support.layer_weights import numpy, randomize

from sar_tf.layers.batch_norm import BatchNorm

X = np.random.default_rng(0).normal(2, 3, (4, 3, 2)).astype("float32")
MASK = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 0], [1, 1, 0]], bool)


def test_training_takes_the_statistics_of_what_counts():
    layer = BatchNorm(momentum=0.9)
    layer(X)
    randomize(layer)
    result = numpy(layer(X, MASK, training=True))
    mean, variance = X[MASK].mean(0), X[MASK].var(0)
    scaled = (X - mean) / np.sqrt(variance + 1e-3)
    expected = scaled * numpy(layer.gamma) + numpy(layer.beta)
    np.testing.assert_allclose(result, expected, atol=1e-5)
    np.testing.assert_allclose(numpy(layer.moving_mean), 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(
        numpy(layer.moving_variance), 0.9 + 0.1 * variance, rtol=1e-5
    )


def test_inference_takes_the_moving_averages():
    layer = BatchNorm()
    layer(X)
    layer.moving_mean.assign([1.0, 2.0])
    layer.moving_variance.assign([4.0, 9.0])
    expected = (X - [1, 2]) / np.sqrt([4.001, 9.001])
    np.testing.assert_allclose(numpy(layer(X)), expected, atol=1e-5)
