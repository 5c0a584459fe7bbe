import keras
import numpy as np
import pytest
from keras import ops

from sar_tf.training.adam import AdamL2, is_bias


def numpy_adam(weight, gradients, lr, l2, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
    """PyTorch's update, written out in float64."""
    weight = np.array(weight, np.float64)
    m, v = np.zeros_like(weight), np.zeros_like(weight)
    for t, gradient in enumerate(gradients, start=1):
        gradient = gradient + l2 * weight
        m = beta_1 * m + (1 - beta_1) * gradient
        v = beta_2 * v + (1 - beta_2) * gradient**2
        m_hat, v_hat = m / (1 - beta_1**t), v / (1 - beta_2**t)
        weight = weight - lr * m_hat / (np.sqrt(v_hat) + epsilon)
    return weight


def keras_adam(weight, gradients, lr, l2, name="kernel"):
    variable = keras.Variable(weight, dtype="float32", name=name)
    optimizer = AdamL2(learning_rate=lr, l2=l2)
    for gradient in gradients:
        optimizer.apply([ops.convert_to_tensor(gradient, "float32")], [variable])
    return ops.convert_to_numpy(variable)


WEIGHT = np.array([[0.5, -1.0], [2.0, 0.01]])
GRADIENTS = np.random.default_rng(0).normal(size=(5, 2, 2))


def test_equals_adam_with_l2_by_hand():
    expected = numpy_adam(WEIGHT, GRADIENTS, lr=0.01, l2=0.1)
    result = keras_adam(WEIGHT, GRADIENTS, 0.01, 0.1)
    np.testing.assert_allclose(result, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["bias", "in_proj_bias", "beta"])
def test_no_l2_on_biases(name):
    expected = numpy_adam(WEIGHT, GRADIENTS, lr=0.01, l2=0.0)
    result = keras_adam(WEIGHT, GRADIENTS, 0.01, 0.1, name=name)
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_epsilon_comes_after_the_bias_correction():
    """With a gradient as small as epsilon the two places differ by a factor."""
    gradients = np.full((1, 2, 2), 2e-8)
    expected = numpy_adam(WEIGHT, gradients, lr=0.1, l2=0.0)
    result = keras_adam(WEIGHT, gradients, 0.1, 0.0)
    np.testing.assert_allclose(result - WEIGHT, expected - WEIGHT, rtol=1e-3)
    np.testing.assert_allclose(expected - WEIGHT, -0.1 * 2 / 3, rtol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_embedding_rows_without_gradient_decay_too(jit_compile):
    """A look-up's gradient is sparse; L2 reaches every row all the same."""
    model = keras.Sequential([keras.Input((1,), dtype="int32")])
    model.add(keras.layers.Embedding(4, 2))
    model.add(keras.layers.Flatten())
    before = ops.convert_to_numpy(model.layers[0].embeddings)
    optimizer = AdamL2(learning_rate=0.01, l2=0.1)
    model.compile(optimizer, loss="mse", jit_compile=jit_compile)
    inputs, outputs = np.array([[1], [1], [2]]), np.ones((3, 2))
    model.fit(inputs, outputs, batch_size=3, epochs=1, verbose=0)

    gradient = np.zeros((4, 2))
    for row in inputs[:, 0]:
        gradient[row] += 2 * (before[row] - 1) / 6  # mean over 3 rows of 2
    expected = numpy_adam(before, [gradient], lr=0.01, l2=0.1)
    after = ops.convert_to_numpy(model.layers[0].embeddings)
    np.testing.assert_allclose(after, expected, atol=1e-6)
    assert np.all(after != before)


def test_which_variables_are_biases():
    norm = keras.layers.LayerNormalization()
    norm.build((None, 3))
    assert [is_bias(v) for v in (norm.gamma, norm.beta)] == [False, True]
    dense = keras.layers.Dense(2)
    dense.build((None, 3))
    assert [is_bias(v) for v in (dense.kernel, dense.bias)] == [False, True]


def test_config_round_trip():
    optimizer = AdamL2(learning_rate=0.5, l2=1e-5)
    restored = AdamL2.from_config(optimizer.get_config())
    assert (restored.l2, restored.epsilon) == (1e-5, 1e-8)
    assert float(restored.learning_rate) == 0.5


def test_negative_l2():
    with pytest.raises(ValueError, match="l2 must not be negative"):
        AdamL2(l2=-1.0)
