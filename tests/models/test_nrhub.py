import numpy as np
import pytest
from keras import ops
from support.batches import SPEC, batch, feature_tables, random_histories
from support.gradients import gradients
from support.layer_weights import numpy, randomize
from support.numpy_views import dense, user_vector

from sar_tf.models import NRHUB, get

OPTIONS = {
    "embedding_dim": 4,
    "hidden_dim": 6,
    "attention_units": 5,
    "view_attention_units": 3,
    "view_dim": 7,
}
# (recommendations, searches) of each history; SPEC holds at most (4, 3).
SIZES = [(4, 3), (2, 1), (0, 3), (1, 2), (4, 0), (0, 0)]
INPUTS = batch(SPEC, random_histories(SPEC, SIZES))


def small_model(**options):
    return randomize(NRHUB(SPEC, feature_tables(SPEC), **OPTIONS, **options))


@pytest.fixture(scope="module")
def model():
    return small_model()


def encoded_of(model, inputs=INPUTS):
    encoded = model.encode_history(inputs["history"], training=False)
    return {name: numpy(x) for name, x in encoded.items()}


def with_history(**arrays):
    return {**INPUTS, "history": {**INPUTS["history"], **arrays}}


def test_registered_for_recommendation_only():
    assert get("nrhub") is NRHUB
    assert NRHUB.tasks == ("rec",)
    with pytest.raises(ValueError, match="tasks must be of rec for NRHUB, not search"):
        NRHUB(SPEC, feature_tables(SPEC), tasks=("search",), **OPTIONS)


def test_users_and_scores_by_the_equations(model):
    users = np.array(
        [user_vector(model, INPUTS["history"], row) for row in range(len(SIZES))]
    )
    np.testing.assert_allclose(encoded_of(model)["vector"], users, atol=1e-5)
    items = numpy(model.encode_items(INPUTS["rec"]["candidates"]))
    logits = np.einsum("bk,bck->bc", users, dense(model.of_item, items))
    result = numpy(model.score("rec", INPUTS))
    np.testing.assert_allclose(result, 1 / (1 + np.exp(-logits)), atol=1e-5)
    assert np.ptp(result[:5], axis=1).min() > 1e-3


def test_the_order_within_a_view_does_not_matter(model):
    history = INPUTS["history"]
    reverse = {
        name: history[name][:, ::-1]
        for name in ("rec_items", "search_words", "search_mask", "clicked_items")
    }
    result = numpy(model.score("rec", with_history(**reverse)))
    np.testing.assert_allclose(result, numpy(model.score("rec", INPUTS)), atol=1e-6)


def test_a_view_alone_has_the_weight_1(model):
    """Row 4 has recommendations only; row 5 nothing, so that the user is 0."""
    encoded = encoded_of(model)
    np.testing.assert_array_equal(encoded["view_weights"][4], [1, 0, 0])
    np.testing.assert_array_equal(encoded["view_weights"][5], [0, 0, 0])
    np.testing.assert_array_equal(encoded["vector"][5], 0)
    np.testing.assert_array_equal(numpy(model.score("rec", INPUTS))[5], 0.5)


def test_a_search_without_words_or_clicks_is_a_query(model):
    """Its query is tanh(b) of the encoder; the view of clicked items stays empty."""
    history = {name: x.copy() for name, x in INPUTS["history"].items()}
    history["search_mask"][5, 0] = True
    weights = encoded_of(model, {**INPUTS, "history": history})["view_weights"]
    np.testing.assert_array_equal(weights[5], [0, 1, 0])


def test_searches_have_no_gradient_where_there_are_none():
    """Users of recommendations alone do not touch what reads searches."""
    model = small_model()
    inputs = batch(SPEC, random_histories(SPEC, [(4, 0), (2, 0)]))
    for view, is_zero in (("rec", False), ("query", True), ("clicked", True)):
        result = gradients(
            lambda: sum(ops.sum(x) for x in model.losses_of("rec", inputs).values()),
            model.attentions[view].trainable_variables,
        )
        assert all((gradient == 0).all() for gradient in result) == is_zero, view


def test_the_original_loss_is_a_softmax_over_the_candidates():
    model = small_model(original_loss=True)
    scores = numpy(model.score("rec", INPUTS))
    logits = np.log(scores / (1 - scores))
    expected = np.mean(np.log(np.exp(logits).sum(1)) - logits[:, 0])
    result = float(model.losses_of("rec", INPUTS)["click_loss"])
    assert result == pytest.approx(expected, rel=1e-4)


def test_queries_read_by_a_convolution():
    """Its users follow the same equations; queries of one set of words differ."""
    model = small_model(text_encoder="convolution")
    vectors = encoded_of(model)["vector"]
    for row in (0, 2, 5):
        expected = user_vector(model, INPUTS["history"], row)
        np.testing.assert_allclose(vectors[row], expected, atol=1e-5)
    two = numpy(model.encode_queries(np.array([[1, 2, 3], [3, 2, 1]])))
    assert np.abs(two[0] - two[1]).max() > 1e-3
