import math

import numpy as np
import pytest
from support.layer_weights import numpy

from sar_tf.layers.view_contrast import are_unrelated, find_partners, view_contrast

B, D, TAU = 5, 4, 0.1


def random(seed):
    return np.random.default_rng(seed).normal(size=(B, D)).astype("float32")


def cosine(one, other):
    return one @ other / np.linalg.norm(one) / np.linalg.norm(other)


def test_values():
    """Each row's own pair, and those of its negatives; both ways."""
    z, others = random(0), random(1)
    negative = np.random.default_rng(2).random((B, B)) < 0.5
    np.fill_diagonal(negative, False)
    result = numpy(view_contrast(z, others, negative, 0.5))
    for b in range(B):
        expected = 0
        for one, other in ((z, others), (others, z)):
            own = np.exp(cosine(one[b], other[b]) / 0.5)
            rest = sum(
                np.exp(cosine(one[b], other[c]) / 0.5)
                for c in range(B)
                if negative[b, c]
            )
            expected -= 0.5 * np.log(own / (own + rest))
        np.testing.assert_allclose(result[b], expected, rtol=1e-4, atol=1e-6)


def test_without_negatives_it_is_0():
    result = view_contrast(random(0), random(1), np.zeros((B, B), bool), TAU)
    np.testing.assert_allclose(numpy(result), 0, atol=1e-6)
    alone = view_contrast(random(0)[:1], random(1)[:1], np.zeros((1, 1), bool), TAU)
    np.testing.assert_allclose(numpy(alone), 0, atol=1e-6)


@pytest.mark.parametrize("length", [1.0, 7.0])
def test_identical_views_of_orthogonal_users(length):
    z = length * np.eye(B, dtype="float32")
    result = numpy(view_contrast(z, z, ~np.eye(B, dtype=bool), TAU))
    expected = math.log1p((B - 1) * math.exp(-1 / TAU))
    np.testing.assert_allclose(result, expected, rtol=1e-2)


def test_zero_vectors_are_finite():
    z = np.zeros((B, D), "float32")
    result = numpy(view_contrast(z, z, ~np.eye(B, dtype=bool), TAU))
    np.testing.assert_allclose(result, math.log(B), rtol=1e-5)


def test_unrelated_rows_share_no_label():
    labels = np.array([[1, 5, 9], [1, 6, 8], [2, 5, 7], [3, 4, 6]])
    expected = [[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 0, 1], [1, 1, 1, 0]]
    result = numpy(are_unrelated(labels, labels))
    np.testing.assert_array_equal(result, np.array(expected, bool))


def test_a_partner_is_the_next_eligible_row_in_a_circle():
    eligible = np.zeros((4, 4), bool)
    eligible[0, [1, 3]] = eligible[1, 0] = eligible[3, [0, 1]] = True
    partner, has_one = (numpy(x) for x in find_partners(eligible))
    np.testing.assert_array_equal(has_one, [True, True, False, True])
    np.testing.assert_array_equal(partner[has_one], [1, 0, 0])
    # The second replica's rows are rows 2 and 3 of all.
    partner, has_one = (numpy(x) for x in find_partners(eligible[:2], 2))
    np.testing.assert_array_equal(partner, [3, 0])
    assert has_one.all()


def test_no_rows():
    nothing = np.zeros((0, D), "float32")
    assert view_contrast(nothing, nothing, np.zeros((0, 0), bool), TAU).shape == (0,)
    partner, has_one = find_partners(np.zeros((0, 0), bool))
    assert partner.shape == has_one.shape == (0,)
