import keras
import numpy as np
import pytest
from keras import ops
from support import numpy_equations
from support.gradients import gradients
from support.layer_weights import numpy, randomize, round_trip

from sar_tf.layers.contrast import QueryItemContrast, TransitionAlignment

P, S, D = 4, 5, 3
PAIRS = np.array([1, 0, 1, 1], bool)
ALL, NONE = np.ones(P, bool), np.zeros(P, bool)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


class QueryItemCase:
    """The layer with weights of its own, inputs, and the mean by the mask."""

    def __init__(self, mask=PAIRS, temperature=0.5, **kwargs):
        self.mask = mask
        self.inputs = random(P, D), random(P, D, seed=1)
        self.inputs += random(S, D, seed=2), random(S, D, seed=3)
        self.layer = QueryItemContrast(temperature, **kwargs)
        self.layer(*self.inputs)
        self.layer.kernel.assign(random(D, D, seed=4))

    def loss(self, *inputs):
        return mean(self.layer(*(inputs or self.inputs)), self.mask)

    def no_rows(self):
        return [x[:0] for x in self.inputs[:2]] + list(self.inputs[2:])

    @staticmethod
    def numpy_loss(kernel, temperature, first, second, *samples):
        pairs = list(zip(first[PAIRS], second[PAIRS], strict=True))
        return numpy_equations.query_item_loss(kernel, temperature, pairs, *samples)


class AlignmentCase:
    """The same of the transition alignment."""

    negatives = "reference"

    def __init__(self, mask=PAIRS, temperature=0.5, **kwargs):
        self.mask = mask
        self.inputs = random(P, D), random(P, D, seed=1), mask
        self.layer = TransitionAlignment(temperature, self.negatives, **kwargs)
        self.layer(*self.inputs)
        self.layer.kernel.assign(random(D, D, seed=4))

    def loss(self, *inputs):
        inputs = inputs or self.inputs
        return mean(self.layer(*inputs[:2], self.mask), self.mask)

    def no_rows(self):
        return [x[:0] for x in self.inputs]

    @classmethod
    def numpy_loss(cls, kernel, temperature, first, second, *mask):
        return numpy_equations.transition_loss(
            kernel, temperature, first[PAIRS], second[PAIRS], cls.negatives
        )


class PaperCase(AlignmentCase):
    negatives = "paper"


CASES = [QueryItemCase, AlignmentCase, PaperCase]
ALIGNMENTS = [AlignmentCase, PaperCase]


def mean(values, mask):
    """Mean of the losses by a mask or counts, as a model reduces them."""
    weights = ops.cast(mask, "float32")
    return ops.sum(values * weights) / ops.maximum(ops.sum(weights), 1.0)


@pytest.mark.parametrize("temperature", [0.005, 0.1, 0.5])
@pytest.mark.parametrize("mask", [PAIRS, ALL, NONE])
def test_query_item_values(mask, temperature):
    case = QueryItemCase(mask, temperature)
    queries, items, sampled_items, sampled_queries = case.inputs
    expected = numpy_equations.query_item_loss(
        numpy(case.layer.kernel),
        temperature,
        list(zip(queries[mask], items[mask], strict=True)),
        sampled_items,
        sampled_queries,
    )
    np.testing.assert_allclose(numpy(case.loss()), expected, rtol=1e-5)


def test_query_item_by_hand():
    """Every similarity is tanh(0) = 0: each pair is one of 1 + S equals."""
    case = QueryItemCase()
    case.layer.kernel.assign(np.zeros((D, D)))
    losses = numpy(case.layer(*case.inputs))
    np.testing.assert_allclose(losses, [np.log(1 + S)] * P, rtol=1e-6)


def test_the_loss_of_a_pair_is_that_of_the_pair_alone():
    case = QueryItemCase()
    queries, items, *samples = case.inputs
    losses = numpy(case.layer(*case.inputs))
    for row, loss in enumerate(losses):
        alone = case.layer(queries[row : row + 1], items[row : row + 1], *samples)
        np.testing.assert_allclose(numpy(alone), [loss], rtol=1e-6)
    assert np.ptp(losses) > 0.01


@pytest.mark.parametrize("temperature", [0.005, 0.1, 0.5])
@pytest.mark.parametrize("kind", ALIGNMENTS)
@pytest.mark.parametrize("mask", [PAIRS, ALL, NONE])
def test_alignment_values(kind, mask, temperature):
    case = kind(mask, temperature)
    cross, same, mask = case.inputs
    expected = numpy_equations.transition_loss(
        numpy(case.layer.kernel), temperature, cross[mask], same[mask], kind.negatives
    )
    np.testing.assert_allclose(numpy(case.loss()), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(AlignmentCase, np.log(2 * 3 - 1)), (PaperCase, 2 * np.log(3))],
)
def test_alignment_by_hand(kind, expected):
    """All similarities 0, three histories: one of 5 views, or of 3, twice."""
    case = kind()
    case.layer.kernel.assign(np.zeros((D, D)))
    losses = numpy(case.layer(*case.inputs))[PAIRS]
    np.testing.assert_allclose(losses, [expected] * 3, rtol=1e-6)


@pytest.mark.parametrize("kind", ALIGNMENTS)
def test_one_history_has_nothing_to_tell_apart(kind):
    case = kind(np.array([0, 1, 0, 0], bool))
    np.testing.assert_allclose(numpy(case.loss()), 0, atol=1e-6)


@pytest.mark.parametrize("kind", ALIGNMENTS)
@pytest.mark.parametrize("temperature", [0.5, 0.01])
def test_views_left_out_do_not_hide_the_others(kind, temperature):
    """Both views of the only history are opposites, each is like itself."""
    layer = kind(temperature=temperature).layer
    layer.kernel.assign(9 * np.eye(D))
    view = np.eye(D, dtype="float32")[:1]
    loss = layer(view, -view, np.ones(1, bool))
    np.testing.assert_allclose(numpy(loss), [0], atol=1e-4)


@pytest.mark.parametrize("kind", CASES)
def test_rows_left_out_do_not_matter(kind):
    case = kind()
    changed = [x.copy() for x in case.inputs]
    changed[0][1] = changed[1][1] = 100.0
    np.testing.assert_allclose(
        numpy(case.loss(*changed)), numpy(case.loss()), rtol=1e-6
    )


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("mask", [PAIRS, NONE])
def test_gradients_are_finite(kind, mask):
    case = kind(mask, temperature=0.1)
    result = gradients(case.loss, case.layer.trainable_variables)
    assert all(np.all(np.isfinite(gradient)) for gradient in result)
    assert all(np.any(gradient) == mask.any() for gradient in result)


@pytest.mark.parametrize("kind", CASES)
def test_no_rows(kind):
    case = kind()
    assert numpy(case.layer(*case.no_rows())).shape == (0,)


@pytest.mark.parametrize("kind", CASES)
def test_temperature_is_a_learned_scalar(kind):
    layer = kind(temperature=0.3).layer
    assert any(v is layer.temperature for v in layer.trainable_variables)
    assert layer.temperature.shape == ()
    np.testing.assert_allclose(numpy(layer.temperature), 0.3, rtol=1e-6)


@pytest.mark.parametrize("kind", CASES)
def test_a_small_temperature_does_not_overflow(kind):
    case = kind(temperature=1e-3)
    losses = numpy(case.layer(*case.inputs))[PAIRS]
    assert np.all(np.isfinite(losses))
    assert np.all(losses >= 0)


@pytest.mark.parametrize("temperature", [0.0, -0.1])
@pytest.mark.parametrize("kind", CASES)
def test_a_temperature_that_fell_to_zero_leaves_everything_finite(kind, temperature):
    case = kind()
    case.layer.temperature.assign(temperature)
    values = [
        case.layer(*case.inputs),
        *gradients(case.loss, case.layer.trainable_variables),
    ]
    assert all(np.isfinite(numpy(value)).all() for value in values)


@pytest.mark.parametrize("kind", CASES)
def test_round_trip(kind):
    case = kind()
    copy = round_trip(randomize(case.layer), *case.inputs)
    np.testing.assert_array_equal(
        numpy(copy(*case.inputs)), numpy(case.layer(*case.inputs))
    )


@pytest.mark.parametrize("kind", CASES)
def test_the_loss_is_float32_in_mixed_precision(kind):
    case, half = kind(), kind(dtype="mixed_bfloat16")
    losses = half.layer(*half.inputs)
    assert keras.backend.standardize_dtype(losses.dtype) == "float32"
    assert {v.dtype for v in half.layer.variables} == {"float32"}
    np.testing.assert_allclose(numpy(half.loss()), numpy(case.loss()), rtol=0.05)


@pytest.mark.parametrize("kind", CASES)
def test_output_shape(kind):
    case = kind()
    assert tuple(case.layer(*case.inputs).shape) == (P,)
    shapes = [x.shape for x in case.inputs]
    assert case.layer.compute_output_shape(*shapes) == (P,)


def test_equal_pairs_may_be_counted():
    case = QueryItemCase()
    queries, items, *samples = case.inputs
    counted = mean(case.layer(*case.inputs), np.array([3, 0, 1, 2]))
    rows = [0, 0, 0, 2, 3, 3]
    repeated = mean(case.layer(queries[rows], items[rows], *samples), np.ones(6))
    np.testing.assert_allclose(numpy(counted), numpy(repeated), rtol=1e-6)


@pytest.mark.parametrize("kind", CASES)
def test_gradients_equal_finite_differences(kind):
    """Of the equations in NumPy, by the weights and by the inputs."""
    case = kind(PAIRS)
    arrays = [np.array(x, np.float64) for x in case.inputs if x is not PAIRS]
    variables = [case.layer.kernel, case.layer.temperature]
    variables += [keras.Variable(x, dtype="float32") for x in arrays]

    def loss():
        return case.loss(*(v.value for v in variables[2:]))

    values = [numpy(v).astype(np.float64) for v in variables]
    for variable, gradient in zip(values, gradients(loss, variables), strict=True):
        expected = np.zeros(variable.shape)
        for index in np.ndindex(variable.shape):
            kept, sides = variable[index], []
            for step in (1e-5, -1e-5):
                variable[index] = kept + step
                sides.append(kind.numpy_loss(*values))
            variable[index] = kept
            expected[index] = (sides[0] - sides[1]) / 2e-5
        np.testing.assert_allclose(gradient, expected, atol=1e-4)


def test_unknown_negatives_are_named():
    with pytest.raises(ValueError, match="not 'official'"):
        TransitionAlignment(0.1, negatives="official")
