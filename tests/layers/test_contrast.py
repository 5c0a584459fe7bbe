import keras
import numpy as np
import numpy_unisar
import pytest
from gradients import gradients
from layer_weights import numpy, randomize, round_trip

from sar_tf.layers.contrast import (
    QueryItemContrast,
    TransitionAlignment,
    clicked_pairs,
)

P, S, D = 4, 5, 3
PAIRS = np.array([1, 0, 1, 1], bool)
ALL, NONE = np.ones(P, bool), np.zeros(P, bool)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def query_item_case(mask=PAIRS, temperature=0.5, **kwargs):
    inputs = random(P, D), random(P, D, seed=1), mask, random(S, D, seed=2)
    inputs += (random(S, D, seed=3),)
    layer = QueryItemContrast(temperature, **kwargs)
    layer(*inputs)
    layer.kernel.assign(random(D, D, seed=4))
    return layer, inputs


def alignment_case(mask=PAIRS, temperature=0.5, **kwargs):
    inputs = random(P, D), random(P, D, seed=1), mask
    layer = TransitionAlignment(temperature, **kwargs)
    layer(*inputs)
    layer.kernel.assign(random(D, D, seed=4))
    return layer, inputs


def paper_case(*args, **kwargs):
    return alignment_case(*args, negatives="paper", **kwargs)


CASES = [query_item_case, alignment_case, paper_case]


@pytest.mark.parametrize("temperature", [0.005, 0.1, 0.5])
@pytest.mark.parametrize("mask", [PAIRS, ALL, NONE])
def test_query_item_values(mask, temperature):
    layer, inputs = query_item_case(mask, temperature)
    queries, items, mask, sampled_items, sampled_queries = inputs
    expected = numpy_unisar.query_item_loss(
        numpy(layer.kernel),
        temperature,
        list(zip(queries[mask], items[mask], strict=True)),
        sampled_items,
        sampled_queries,
    )
    np.testing.assert_allclose(numpy(layer(*inputs)), expected, rtol=1e-5)


def test_query_item_by_hand():
    """Every similarity is tanh(0) = 0: each pair is one of 1 + S equals."""
    layer, inputs = query_item_case()
    layer.kernel.assign(np.zeros((D, D)))
    np.testing.assert_allclose(numpy(layer(*inputs)), np.log(1 + S), rtol=1e-6)


@pytest.mark.parametrize("temperature", [0.005, 0.1, 0.5])
@pytest.mark.parametrize("negatives", ["reference", "paper"])
@pytest.mark.parametrize("mask", [PAIRS, ALL, NONE])
def test_alignment_values(negatives, mask, temperature):
    layer, inputs = alignment_case(mask, temperature, negatives=negatives)
    cross, same, mask = inputs
    expected = numpy_unisar.transition_loss(
        numpy(layer.kernel), temperature, cross[mask], same[mask], negatives
    )
    np.testing.assert_allclose(numpy(layer(*inputs)), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("negatives", "expected"),
    [("reference", np.log(2 * 3 - 1)), ("paper", 2 * np.log(3))],
)
def test_alignment_by_hand(negatives, expected):
    """All similarities 0, three histories: one of 5 views, or of 3, twice."""
    layer, inputs = alignment_case(negatives=negatives)
    layer.kernel.assign(np.zeros((D, D)))
    np.testing.assert_allclose(numpy(layer(*inputs)), expected, rtol=1e-6)


@pytest.mark.parametrize("case", [alignment_case, paper_case])
def test_one_history_has_nothing_to_tell_apart(case):
    layer, inputs = case(np.array([0, 1, 0, 0], bool))
    np.testing.assert_allclose(numpy(layer(*inputs)), 0, atol=1e-6)


@pytest.mark.parametrize("case", [alignment_case, paper_case])
@pytest.mark.parametrize("temperature", [0.5, 0.01])
def test_views_left_out_do_not_hide_the_others(case, temperature):
    """Both views of the only history are opposites, each is like itself."""
    layer, _ = case(temperature=temperature)
    layer.kernel.assign(9 * np.eye(D))
    view = np.eye(D, dtype="float32")[:1]
    loss = layer(view, -view, np.ones(1, bool))
    np.testing.assert_allclose(numpy(loss), 0, atol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_rows_left_out_do_not_matter(case):
    layer, inputs = case()
    changed = [x.copy() for x in inputs]
    changed[0][1] = changed[1][1] = 100.0
    np.testing.assert_allclose(numpy(layer(*changed)), numpy(layer(*inputs)), rtol=1e-6)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mask", [PAIRS, NONE])
def test_gradients_are_finite(case, mask):
    layer, inputs = case(mask, temperature=0.1)
    variables = layer.trainable_variables
    result = gradients(lambda: layer(*inputs), variables)
    assert all(np.all(np.isfinite(gradient)) for gradient in result)
    assert all(np.any(gradient) == mask.any() for gradient in result)


@pytest.mark.parametrize("case", CASES)
def test_no_rows(case):
    layer, inputs = case()
    empty = [x[:0] for x in inputs[:3]] + list(inputs[3:])
    assert numpy(layer(*empty)) == 0


@pytest.mark.parametrize("case", CASES)
def test_temperature_is_a_learned_scalar(case):
    layer, _ = case(temperature=0.3)
    assert any(v is layer.temperature for v in layer.trainable_variables)
    assert layer.temperature.shape == ()
    np.testing.assert_allclose(numpy(layer.temperature), 0.3, rtol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_a_small_temperature_does_not_overflow(case):
    layer, inputs = case(temperature=1e-3)
    loss = numpy(layer(*inputs))
    assert np.isfinite(loss)
    assert loss >= 0


@pytest.mark.parametrize("temperature", [0.0, -0.1])
@pytest.mark.parametrize("case", CASES)
def test_a_temperature_that_fell_to_zero_leaves_everything_finite(case, temperature):
    layer, inputs = case()
    layer.temperature.assign(temperature)
    values = [
        layer(*inputs),
        *gradients(lambda: layer(*inputs), layer.trainable_variables),
    ]
    assert all(np.isfinite(numpy(value)).all() for value in values)


@pytest.mark.parametrize("case", CASES)
def test_round_trip(case):
    layer, inputs = case()
    copy = round_trip(randomize(layer), *inputs)
    np.testing.assert_array_equal(numpy(copy(*inputs)), numpy(layer(*inputs)))


@pytest.mark.parametrize("case", CASES)
def test_the_loss_is_float32_in_mixed_precision(case):
    layer, inputs = case()
    half, _ = case(dtype="mixed_bfloat16")
    loss = half(*inputs)
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    assert {v.dtype for v in half.variables} == {"float32"}
    np.testing.assert_allclose(numpy(loss), numpy(layer(*inputs)), rtol=0.05)


@pytest.mark.parametrize("case", CASES)
def test_output_shape(case):
    layer, inputs = case()
    assert tuple(layer(*inputs).shape) == ()
    assert layer.compute_output_shape(*(x.shape for x in inputs)) == ()


def test_equal_pairs_may_be_counted():
    layer, (queries, items, _, *samples) = query_item_case()
    counted = layer(queries, items, np.array([3, 0, 1, 2]), *samples)
    rows = [0, 0, 0, 2, 3, 3]
    repeated = layer(queries[rows], items[rows], np.ones(6, bool), *samples)
    np.testing.assert_allclose(numpy(counted), numpy(repeated), rtol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_gradients_equal_finite_differences(case):
    """Of the equations in NumPy, by the weights and by the inputs."""
    layer, inputs = case(PAIRS)
    arrays = [np.array(x, np.float64) for x in inputs if x is not PAIRS]
    variables = [layer.kernel, layer.temperature]
    variables += [keras.Variable(x, dtype="float32") for x in arrays]

    def loss():
        rest = [v.value for v in variables[2:]]
        return layer(*rest[:2], PAIRS, *rest[2:])

    values = [numpy(v).astype(np.float64) for v in variables]
    for variable, gradient in zip(values, gradients(loss, variables), strict=True):
        expected = np.zeros(variable.shape)
        for index in np.ndindex(variable.shape):
            kept, sides = variable[index], []
            for step in (1e-5, -1e-5):
                variable[index] = kept + step
                sides.append(numpy_loss(case, *values))
            variable[index] = kept
            expected[index] = (sides[0] - sides[1]) / 2e-5
        np.testing.assert_allclose(gradient, expected, atol=1e-4)


def numpy_loss(case, kernel, temperature, first, second, *samples):
    first, second = first[PAIRS], second[PAIRS]
    if case is query_item_case:
        pairs = list(zip(first, second, strict=True))
        return numpy_unisar.query_item_loss(kernel, temperature, pairs, *samples)
    negatives = "paper" if case is paper_case else "reference"
    return numpy_unisar.transition_loss(kernel, temperature, first, second, negatives)


def test_unknown_negatives_are_named():
    with pytest.raises(ValueError, match="not 'official'"):
        TransitionAlignment(0.1, negatives="official")


def test_clicked_pairs_of_two_groups():
    """Groups of other widths: (1 row, 2 sessions, 2 clicks), (1, 1, 2)."""
    groups = [
        (
            np.array([[[1.0], [2.0]]]),
            np.array([[[[10.0], [11.0]], [[12.0], [0.0]]]]),
            np.array([[[1, 1], [1, 0]]], bool),
        ),
        (
            np.array([[[3.0]]]),
            np.array([[[[0.0], [0.0]]]]),
            np.array([[[0, 0]]], bool),
        ),
    ]
    queries, items, mask = (numpy(x) for x in clicked_pairs(groups))
    pairs = np.concatenate([queries, items], axis=1)
    assert len(pairs) == len(mask)
    np.testing.assert_array_equal(pairs[mask], [[1, 10], [1, 11], [2, 12]])
