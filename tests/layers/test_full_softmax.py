import keras
import numpy as np
from keras import ops
from support.gradients import gradients
from support.layer_weights import numpy

from sar_tf.layers import full_softmax
from sar_tf.layers.full_softmax import full_softmax_loss


def random(*shape, seed):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_cross_entropy_among_all_items(monkeypatch):
    """Seven items, of which three are scored at a time."""
    monkeypatch.setattr(full_softmax, "_TOGETHER", 3)
    asked, items = random(2, 3, 4, seed=0), random(7, 4, seed=1)
    own = np.array([[0, 3, 6], [2, 2, 5]])
    logits = asked @ items.T
    expected = np.log(np.exp(logits).sum(-1))
    expected -= np.take_along_axis(logits, own[..., None], -1)[..., 0]
    result = numpy(full_softmax_loss(asked, items[own], items))
    np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_gradients_are_those_of_the_whole_softmax(monkeypatch):
    """That of a logit is its probability, less 1 of the positive."""
    monkeypatch.setattr(full_softmax, "_TOGETHER", 3)
    asked, items = random(5, 4, seed=0), random(7, 4, seed=1)
    own = np.array([0, 3, 6, 2, 2])
    variables = [keras.Variable(asked), keras.Variable(items)]

    def loss():
        o, e = (variable.value for variable in variables)
        return ops.sum(full_softmax_loss(o, ops.take(e, own, axis=0), e))

    probabilities = np.exp(asked @ items.T)
    probabilities /= probabilities.sum(1, keepdims=True)
    of_logits = probabilities - np.eye(7)[own]
    of_asked, of_items = gradients(loss, variables)
    np.testing.assert_allclose(of_asked, of_logits @ items, atol=1e-5)
    np.testing.assert_allclose(of_items, of_logits.T @ asked, atol=1e-5)


def test_large_logits_in_bfloat16():
    asked, items = (ops.cast(100 * random(n, 4, seed=n), "bfloat16") for n in (3, 5))
    result = numpy(full_softmax_loss(asked, items[:3], items))
    assert np.all(np.isfinite(result)) and np.all(result >= 0)
    assert result.dtype == "float32"
