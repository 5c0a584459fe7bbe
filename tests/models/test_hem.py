import dataclasses

import numpy as np
import pytest
from support.batches import SPEC
from support.layer_weights import numpy
from support.search_case import (
    INPUTS,
    changed,
    dot_logits,
    logits_of,
    query_vectors,
    small_model,
    word_costs,
)

from sar_tf.models import HEM, get


@pytest.fixture(scope="module")
def model():
    return small_model(HEM)


def user_vectors(model, inputs=INPUTS):
    return numpy(model.user_encoder(inputs["search"]["user"]))


def test_registered_for_search_only(model):
    assert get("hem") is HEM
    assert model.needs == ("query_words", "user", "item_words", "sampled_words")
    assert model.loss_weights == {"text_loss": 1.0, "user_text_loss": 1.0}


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_query_and_the_user_are_mixed(weight):
    """s(u, q, i) = lambda s(q, i) + (1 - lambda) s(u, i)."""
    model = small_model(HEM, query_weight=weight)
    by_query = dot_logits(model, query_vectors(model))
    by_user = dot_logits(model, user_vectors(model))
    expected = weight * by_query + (1 - weight) * by_user
    np.testing.assert_allclose(logits_of(model), expected, atol=1e-3)


def test_a_learned_weight_starts_at_a_half():
    model = small_model(HEM, query_weight=None)
    assert "bias" in model.query_weight_bias.name  # It has no L2.
    queries, users = query_vectors(model), user_vectors(model)
    for value in (0.0, 1.5):
        model.query_weight_bias.assign(value)
        weight = 1 / (1 + np.exp(-value))
        expected = dot_logits(model, weight * queries + (1 - weight) * users)
        np.testing.assert_allclose(logits_of(model), expected, atol=1e-3)


def test_an_unknown_user_leaves_the_query_alone(model):
    inputs = changed(INPUTS, "search", user=np.zeros(6, "int32"))
    expected = 0.5 * dot_logits(model, query_vectors(model))
    np.testing.assert_allclose(logits_of(model, inputs), expected, atol=1e-3)


def test_the_history_does_not_matter(model):
    history = {n: np.zeros_like(x) for n, x in INPUTS["history"].items()}
    result = logits_of(model, {**INPUTS, "history": history})
    np.testing.assert_array_equal(result, logits_of(model))


def test_users_predict_their_words(model):
    """Those of the target's query and of the positive's caption, in one text."""
    users = INPUTS["search"]["user"].copy()
    users[2] = 0  # Unknown: it has no text.
    inputs = changed(INPUTS, "search", user=users)
    search = inputs["search"]
    texts = np.concatenate([search["query_words"], search["item_words"]], axis=1)
    costs = word_costs(model, user_vectors(model, inputs), texts)
    kept = [x for x, user in zip(costs, users, strict=True) if user and x is not None]
    assert len(kept) == 5
    result = float(model.losses_of("search", inputs)["user_text_loss"])
    assert result == pytest.approx(np.mean(kept), rel=1e-4)


def test_without_captions_a_users_words_are_queries():
    spec = dataclasses.replace(SPEC, caption_length=0)
    model = small_model(HEM, spec=spec)
    costs = word_costs(model, user_vectors(model), INPUTS["search"]["query_words"])
    kept = [x for x in costs if x is not None]
    result = float(model.losses_of("search", INPUTS)["user_text_loss"])
    assert result == pytest.approx(np.mean(kept), rel=1e-4)


def test_without_its_weight_there_is_no_text():
    model = small_model(HEM, text_weight=0.0)
    assert model.needs == ("query_words", "user")
    assert model.losses_of("search", INPUTS).keys() == {"click_loss"}


def test_with_ids_alone_vectors_are_tables():
    model = small_model(HEM, item_encoder="id")
    users = INPUTS["search"]["user"]
    table = numpy(model.user_encoder.id_embedding.embeddings)
    np.testing.assert_array_equal(user_vectors(model), table[users])
