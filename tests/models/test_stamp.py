import dataclasses

import numpy as np
import pytest
from support.batches import SPEC, batch, feature_tables, random_histories
from support.layer_weights import numpy, randomize

from sar_tf.models import STAMP, get

# (recommendations, searches) of each history; SPEC holds at most (4, 3).
SIZES = [(4, 3), (2, 1), (0, 3), (1, 2), (4, 0), (0, 0)]
INPUTS = batch(SPEC, random_histories(SPEC, SIZES))
ITEMS = INPUTS["history"]["rec_items"]


def small_model(**options):
    model = STAMP(SPEC, feature_tables(SPEC), embedding_dim=4, hidden_dim=6, **options)
    return randomize(model)


@pytest.fixture(scope="module")
def model():
    return small_model()


def encoded_of(model, items):
    return numpy(model.encode_history({"rec_items": items}, training=False)["vector"])


def dense(layer, x):
    return x @ numpy(layer.kernel) + (numpy(layer.bias) if layer.use_bias else 0)


def numpy_alpha(model, h, m_t, m_s):
    hidden = dense(model.of_item, h) + dense(model.of_newest, m_t)
    hidden = 1 / (1 + np.exp(-(hidden + dense(model.of_mean, m_s))))
    return dense(model.weight, hidden)[0]


def numpy_stamp(model, h):
    """o of one history without padding."""
    m_s, m_t = h.mean(0), h[-1]
    m_a = sum(numpy_alpha(model, one, m_t, m_s) * one for one in h)
    m_a = m_a + m_s if model.add_mean else m_a
    return np.tanh(dense(model.session, m_a)) * np.tanh(dense(model.last, m_t))


def test_registered_for_recommendation_only():
    assert get("stamp") is STAMP
    assert (STAMP.tasks, STAMP.needs) == (("rec",), ("rec_items",))


@pytest.mark.parametrize("add_mean", [False, True])
def test_the_vector_is_what_the_paper_says(add_mean):
    """The mean is over the items, not over the slots."""
    model = small_model(add_mean=add_mean)
    result = encoded_of(model, ITEMS)
    for row, (length, _) in enumerate(SIZES):
        if length:
            h = numpy(model.encode_items(ITEMS[row, :length]))
            expected = numpy_stamp(model, h)
            np.testing.assert_allclose(result[row], expected, rtol=1e-4, atol=1e-6)


def test_a_history_of_one_item(model):
    """m_s = m_t = h_1 and m_a = (alpha_1 + 1) h_1."""
    items = np.array([[3, 0, 0, 0]], "int32")
    h = numpy(model.encode_items(items))[0, 0]
    m_a = (numpy_alpha(model, h, h, h) + 1) * h
    expected = np.tanh(dense(model.session, m_a)) * np.tanh(dense(model.last, h))
    np.testing.assert_allclose(encoded_of(model, items)[0], expected, rtol=1e-4)


def test_weights_may_be_negative_and_do_not_add_up_to_one():
    model = small_model()
    model.weight.kernel.assign(-np.abs(numpy(model.weight.kernel)))
    rng = np.random.default_rng(0)
    items = rng.normal(0, 3, (50, 4, 6)).astype("float32")
    mask = np.arange(4) < rng.integers(1, 5, (50, 1))
    alpha = numpy(model.attention(items, items[:, 0], items[:, 1], mask))
    assert (alpha[mask] < 0).all() and np.ptp(alpha.sum(1)) > 0.1
    np.testing.assert_array_equal(alpha[~mask], 0)


def test_only_the_newest_items_place_matters(model):
    before = encoded_of(model, ITEMS[:1])
    for order, is_same in (([1, 0, 2, 3], True), ([0, 1, 3, 2], False)):
        result = encoded_of(model, ITEMS[:1, order])
        assert np.allclose(result, before, atol=1e-6) == is_same


def test_scores_are_trilinear_products(model):
    o = encoded_of(model, ITEMS)
    candidates = numpy(model.encode_items(INPUTS["rec"]["candidates"]))
    expected = 1 / (1 + np.exp(-np.einsum("bd,bcd->bc", o, candidates)))
    result = numpy(model.score("rec", INPUTS))
    np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_scores_do_not_start_at_a_half():
    """With the small initial weights of the original they would."""
    model = STAMP(SPEC, feature_tables(SPEC), hidden_dim=64)
    assert np.abs(encoded_of(model, ITEMS[:2])).max() > 1e-3


@pytest.mark.parametrize("sigmoid_scores", [False, True])
def test_the_original_loss_is_a_softmax_over_all_items(sigmoid_scores):
    model = small_model(original_loss=True, sigmoid_scores=sigmoid_scores)
    every = numpy(model.encode_items(np.arange(1, SPEC.num_items + 1)))
    logits = encoded_of(model, ITEMS) @ every.T
    if sigmoid_scores:
        logits = 1 / (1 + np.exp(-logits))
    own = logits[np.arange(len(SIZES)), INPUTS["rec"]["candidates"][:, 0] - 1]
    expected = np.mean(np.log(np.exp(logits).sum(1)) - own)
    result = float(model.losses_of("rec", INPUTS)["click_loss"])
    assert result == pytest.approx(expected, rel=1e-5)
    plain = numpy(small_model().score("rec", INPUTS))
    np.testing.assert_array_equal(numpy(model.score("rec", INPUTS)), plain)


def test_too_many_items_for_the_original_loss():
    spec = dataclasses.replace(SPEC, num_items=200_001)
    with pytest.raises(ValueError, match="all 200,001 items"):
        STAMP(spec, item_encoder="id", original_loss=True)
