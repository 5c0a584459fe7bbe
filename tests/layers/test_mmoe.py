import keras
import numpy as np
import pytest
from keras import ops
from support.gradients import gradients
from support.layer_weights import numpy, randomize, round_trip

from sar_tf.layers.mmoe import MixtureOfExperts, PredictionNetwork

TASKS = ("rec", "search")
B, C, D_CANDIDATE, D_CONTEXT, UNITS = 3, 4, 5, 2, 6
OWN, SHARED = 2, 3


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def experts_case(head="reference", **kwargs):
    inputs = random(B, C, D_CANDIDATE), random(B, D_CONTEXT, seed=1)
    layer = MixtureOfExperts(TASKS, OWN, SHARED, UNITS, head=head, **kwargs)
    layer(*inputs, task="rec")
    return randomize(layer), inputs


def numpy_experts(layer, x, task):
    """Eq. 9 for one input vector, an expert at a time."""
    gate_kernel, gate_bias = (numpy(v) for v in layer.gates[task])
    logits = x @ gate_kernel + gate_bias
    gates = np.exp(logits) / np.exp(logits).sum()
    total, index = 0.0, 0
    for weights, count in ((layer.task_experts[task], OWN), (layer.shared, SHARED)):
        for i in range(count):
            units = slice(i * UNITS, (i + 1) * UNITS)
            kernel, bias = numpy(weights["kernel"]), numpy(weights["bias"])
            output = np.maximum(x @ kernel[:, units] + bias[units], 0)
            if layer.head == "paper":
                output = output @ numpy(weights["score_kernel"])[i]
                output = np.array([output + numpy(weights["score_bias"])[i]])
            total = total + gates[index] * output
            index += 1
    return total


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("head", ["reference", "paper"])
def test_experts_values(head, task):
    layer, (candidates, context) = experts_case(head)
    expected = [
        [numpy_experts(layer, np.concatenate([c, x]), task) for c in cs]
        for cs, x in zip(candidates, context, strict=True)
    ]
    result = layer(candidates, context, task=task)
    np.testing.assert_allclose(numpy(result), expected, atol=1e-4)


@pytest.mark.parametrize("head", ["reference", "paper"])
def test_views_in_parts_and_shared_candidates(head):
    layer = MixtureOfExperts(TASKS, OWN, SHARED, UNITS, head=head)
    views = []
    for seed, (slots, width) in enumerate([(3, 2), (2, 4)]):
        weights = np.exp(random(B, C, slots, seed=seed))
        weights /= weights.sum(axis=2, keepdims=True)
        views.append((weights, random(B, slots, width, seed=seed)))
    candidates = random(1, C, D_CANDIDATE, seed=5)
    context = random(B, D_CONTEXT, seed=6)
    layer(candidates, context, views, task="search")
    randomize(layer)
    parts = [weights @ values for weights, values in views]
    parts.append(np.repeat(candidates, B, axis=0))
    expected = layer(np.concatenate(parts, axis=2), context, task="search")
    result = layer(candidates, context, views, task="search")
    np.testing.assert_allclose(numpy(result), numpy(expected), atol=1e-5)


@pytest.mark.parametrize("head", ["reference", "paper"])
def test_tasks_share_only_the_shared_experts(head):
    layer, inputs = experts_case(head)
    loss = gradients(
        lambda: ops.sum(layer(*inputs, task="search") ** 2), layer.trainable_variables
    )
    for variable, gradient in zip(layer.trainable_variables, loss, strict=True):
        assert np.any(gradient) == (not variable.name.startswith("rec")), variable.path


@pytest.mark.parametrize("head", ["reference", "paper"])
def test_experts_shapes(head):
    layer, inputs = experts_case(head)
    expected = (B, C, 1 if head == "paper" else UNITS)
    assert tuple(layer(*inputs, task="rec").shape) == expected
    assert layer.compute_output_shape(*(x.shape for x in inputs)) == expected
    empty = layer(*(x[:0] for x in inputs), task="rec")
    assert tuple(empty.shape) == (0, *expected[1:])


@pytest.mark.parametrize("head", ["reference", "paper"])
@pytest.mark.parametrize("task", TASKS)
def test_experts_round_trip(head, task):
    layer, inputs = experts_case(head)
    copy = round_trip(layer, *inputs, task=task)
    np.testing.assert_array_equal(
        numpy(copy(*inputs, task=task)), numpy(layer(*inputs, task=task))
    )


@pytest.mark.parametrize("head", ["reference", "paper"])
def test_experts_mixed_precision(head):
    layer, inputs = experts_case(head)
    half, _ = experts_case(head, dtype="mixed_bfloat16")
    assert {v.dtype for v in half.trainable_variables} == {"float32"}
    result = half(*inputs, task="rec")
    assert keras.backend.standardize_dtype(result.dtype) == "bfloat16"
    expected = numpy(layer(*inputs, task="rec"))
    result = numpy(ops.cast(result, "float32"))
    np.testing.assert_allclose(result, expected, atol=0.1, rtol=0.1)


def test_experts_dropout_acts_in_training_only():
    layer, inputs = experts_case(dropout=0.5)
    plain, _ = experts_case()
    expected = numpy(plain(*inputs, task="rec"))
    np.testing.assert_array_equal(numpy(layer(*inputs, task="rec")), expected)
    dropped = numpy(layer(*inputs, task="rec", training=True))
    assert not np.allclose(dropped, expected)


def test_unknown_head_is_named():
    with pytest.raises(ValueError, match="not 'official'"):
        MixtureOfExperts(TASKS, head="official")


def prediction_network(**kwargs):
    layer = PredictionNetwork((4, 2), **kwargs)
    layer(np.zeros((1, 1, 3), "float32"))
    return randomize(layer)


def test_prediction_network_values():
    layer, x = prediction_network(), random(B, C, 3)
    expected = x
    for dense in layer.hidden:
        expected = np.maximum(expected @ numpy(dense.kernel) + numpy(dense.bias), 0)
    expected = expected @ numpy(layer.logit.kernel)[:, 0] + numpy(layer.logit.bias)[0]
    np.testing.assert_allclose(numpy(layer(x)), expected, atol=1e-5)
    assert layer.compute_output_shape(x.shape) == expected.shape == (B, C)


def test_prediction_network_by_hand():
    layer = PredictionNetwork((2,))
    x = np.array([[[1.0, -2.0]]], "float32")
    layer(x)
    layer.hidden[0].kernel.assign(np.eye(2))
    layer.hidden[0].bias.assign([0.5, 0.5])
    layer.logit.kernel.assign([[2.0], [3.0]])
    layer.logit.bias.assign([-1.0])
    np.testing.assert_allclose(numpy(layer(x)), [[2 * 1.5 + 3 * 0 - 1]])


def test_prediction_network_round_trip():
    layer, x = prediction_network(dropout=0.1), random(B, C, 3)
    copy = round_trip(layer, x)
    np.testing.assert_array_equal(numpy(copy(x)), numpy(layer(x)))


def test_prediction_network_mixed_precision():
    x = random(B, C, 3)
    result = prediction_network(dtype="mixed_bfloat16")(x)
    assert keras.backend.standardize_dtype(result.dtype) == "bfloat16"
    expected = numpy(prediction_network()(x))
    result = numpy(ops.cast(result, "float32"))
    np.testing.assert_allclose(result, expected, atol=0.1, rtol=0.1)


def test_prediction_network_dropout_acts_in_training_only():
    layer, x = prediction_network(dropout=0.5), random(B, C, 3)
    expected = numpy(prediction_network()(x))
    np.testing.assert_array_equal(numpy(layer(x)), expected)
    assert not np.allclose(numpy(layer(x, training=True)), expected)
