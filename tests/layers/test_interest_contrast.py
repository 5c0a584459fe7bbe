import numpy as np
import pytest
from keras import Variable, ops
from support.gradients import gradients
from support.layer_weights import numpy

from sar_tf.layers.interest_contrast import (
    SPLITS,
    TripletInterestContrast,
    interest_vectors,
    split_interests,
)

# One slot a column; the last of four is empty, but for the last row.
WEIGHTS = np.array(
    [
        [0.6, 0.3, 0.1, 0.0],
        [0.5, 0.05, 0.45, 0.0],
        [0.06, 0.12, 0.7, 0.12],
    ],
    "float32",
)
MASK = WEIGHTS > 0
SIMILAR = {
    "mean": [[1, 0, 0, 0], [1, 0, 1, 0], [0, 0, 1, 0]],
    "median": [[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 1, 1]],
    "1/8": [[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 0]],
    "1/16": [[1, 1, 1, 0], [1, 0, 1, 0], [0, 1, 1, 1]],
}


def split(weights, mask, name):
    sides = split_interests(np.asarray(weights, "float32"), np.asarray(mask), name)
    return [numpy(side) for side in sides]


@pytest.mark.parametrize("name", SPLITS)
def test_split(name):
    similar, dissimilar = split(WEIGHTS, MASK, name)
    expected = np.array(SIMILAR[name], bool)
    np.testing.assert_array_equal(similar, expected)
    opposite = MASK & ~expected
    opposite[~opposite.any(axis=1)] = MASK[~opposite.any(axis=1)]
    np.testing.assert_array_equal(dissimilar, opposite)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_median_is_numpys(number):
    rng = np.random.default_rng(number)
    weights = np.zeros((6, 5), "float32")
    weights[:, :number] = rng.dirichlet(np.ones(number), 6)
    similar, _ = split(weights, weights > 0, "median")
    median = np.median(weights[:, :number], axis=1, keepdims=True)
    np.testing.assert_array_equal(similar, (weights >= median) & (weights > 0))


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize("number", [1, 2, 3, 7, 8])
def test_equal_weights_are_on_both_sides(name, number):
    mask = np.arange(8)[None] < number
    for side in split(mask / np.float32(number), mask, name):
        np.testing.assert_array_equal(side, mask)


@pytest.mark.parametrize("name", SPLITS)
def test_no_slot_is_on_neither_side(name):
    for side in split(np.zeros((2, 3)), np.zeros((2, 3), bool), name):
        assert not side.any()


def test_unknown_split():
    with pytest.raises(ValueError, match="mean, median, 1/8, 1/16"):
        split(WEIGHTS, MASK, "1/4")


def distance(a, b):
    return np.sqrt(np.sum((a - b + 1e-6) ** 2))


def test_interest_vectors_and_triplet_loss_by_hand():
    rng = np.random.default_rng(0)
    encoded = rng.normal(size=(3, 4, 2)).astype("float32")
    similar, dissimilar = split(WEIGHTS, MASK, "mean")
    vectors = interest_vectors(encoded, WEIGHTS, similar, dissimilar, MASK)
    losses = []
    for row in range(3):
        anchor = sum(WEIGHTS[row, slot] * encoded[row, slot] for slot in range(4))
        positive = encoded[row][similar[row]].mean(axis=0)
        negative = encoded[row][dissimilar[row]].mean(axis=0)
        for ours, theirs in zip(vectors, (anchor, positive, negative), strict=False):
            np.testing.assert_allclose(numpy(ours)[row], theirs, rtol=1e-5)
        margin = distance(anchor, positive) - distance(anchor, negative) + 2.0
        losses.append(max(margin, 0.0))
    assert min(losses) > 0
    *vectors, has_behavior = vectors
    np.testing.assert_array_equal(numpy(has_behavior), [True] * 3)
    found = TripletInterestContrast(margin=2.0)(*vectors)
    np.testing.assert_allclose(numpy(found), losses, rtol=1e-5)


@pytest.mark.parametrize(
    ("positive", "negative", "expected"),
    [
        ([3.0, 4.0], [0.0, 1.0], 5.0 - 1.0 + 0.1),
        ([0.0, 1.0], [3.0, 4.0], 0.0),  # by more than the margin
        ([0.0, 1.0], [1.05, 0.0], 1.0 - 1.05 + 0.1),
        ([0.0, 0.0], [0.0, 0.0], 0.1),  # a history of one slot
    ],
)
def test_triplet_loss(positive, negative, expected):
    anchor, positive, negative = np.array([[[0.0, 0.0]], [positive], [negative]])
    loss = TripletInterestContrast(0.1)(anchor, positive, negative)
    np.testing.assert_allclose(numpy(loss), [expected], atol=1e-5)


def test_the_loss_of_each_history():
    anchor, negative = np.zeros((3, 2), "float32"), np.ones((3, 2), "float32")
    positive = np.array([[1, 0], [9, 9], [0, 2]], "float32")
    layer = TripletInterestContrast(2.0)
    losses = numpy(layer(anchor, positive, negative))
    distances = np.array([1, 9 * np.sqrt(2), 2])
    np.testing.assert_allclose(losses, distances - np.sqrt(2) + 2, rtol=1e-5)
    assert losses.dtype == np.float32
    assert layer.compute_output_shape(anchor.shape, anchor.shape) == (3,)


def test_a_history_without_behaviors_is_told():
    """Of its loss a caller makes nothing."""
    mask = np.array([[True, False], [False, False]])
    weights = np.where(mask, 1.0, 0.0).astype("float32")
    *vectors, has_behavior = interest_vectors(
        np.ones((2, 2, 3), "float32"), weights, mask, mask, mask
    )
    np.testing.assert_array_equal(numpy(has_behavior), [True, False])
    losses = numpy(TripletInterestContrast(0.5)(*vectors))
    np.testing.assert_allclose(losses, [0.5, 0.5], atol=1e-5)


def test_interests_and_their_distances_are_in_float32():
    """In mixed precision too: in bfloat16 these numbers would be 1 or 1 + 2^-7."""
    encoded = ops.convert_to_tensor([[[1.0], [1 + 2**-7]]], "bfloat16")
    mask = np.array([[True, True]])
    weights = np.array([[0.75, 0.25]], "float32")
    vectors = interest_vectors(encoded, weights, mask, np.array([[True, False]]), mask)
    anchor, positive, negative, _ = vectors
    assert [float(v[0, 0]) for v in vectors[:3]] == [1 + 2**-9, 1 + 2**-8, 1.0]
    layer = TripletInterestContrast(0.1, dtype="mixed_bfloat16")
    (loss,) = numpy(layer(negative, anchor, positive))
    assert float(loss) == pytest.approx(0.1 + 2**-9 - 2**-8, abs=1e-5)


def test_gradient_is_finite_where_all_are_the_same():
    point = Variable(np.ones((1, 3), "float32"))
    layer = TripletInterestContrast(0.1)

    def loss():
        return ops.sum(layer(point, point * 1.0, point * 1.0))

    assert np.isfinite(gradients(loss, [point])[0]).all()


def test_config():
    layer = TripletInterestContrast(0.3)
    assert TripletInterestContrast.from_config(layer.get_config()).margin == 0.3
