import numpy as np
import pytest
from support.layer_weights import numpy
from support.search_case import (
    INPUTS,
    SIZES,
    WIDTH,
    changed,
    clicked_row,
    dot_logits,
    item_vectors,
    logits_of,
    numpy_f,
    query_vectors,
    small_model,
)

from sar_tf.models import AEM, get


@pytest.fixture(scope="module")
def model():
    return small_model(AEM, num_queries=3)


def with_clicks(rows):
    """The batch with histories of these clicked items, a search each."""
    clicked = np.zeros((len(SIZES), 3, 2), "int32")
    for row, items in enumerate(rows):
        clicked[row, : len(items), 0] = items
    return changed(INPUTS, "history", clicked_items=clicked)


def test_registered_for_search_only(model):
    assert get("aem") is AEM
    assert model.needs == ("query_words", "clicked_items")
    assert not model.loss_weights


def test_scores_by_hand(model):
    """M = q + sum_j softmax_j(f(q, h_j)) h_j."""
    intents = []
    for row, query in enumerate(query_vectors(model)):
        h = item_vectors(model, clicked_row(row))
        weights = np.exp([numpy_f(model, query, item) for item in h])
        intents.append(query + (weights / max(weights.sum(), 1e-9)) @ h)
    np.testing.assert_allclose(logits_of(model), dot_logits(model, intents), atol=1e-3)


@pytest.mark.parametrize("attention", ["additive", "multihead"])
def test_two_of_one_item_are_as_one(attention):
    model = small_model(AEM, attention=attention, num_heads=2)
    once = logits_of(model, with_clicks([[5]] * 6))
    twice = logits_of(model, with_clicks([[5, 5]] * 6))
    np.testing.assert_allclose(twice, once, atol=1e-3)


def test_one_item_is_added_to_the_query(model):
    intents = query_vectors(model) + item_vectors(model, [[5]])[0]
    result = logits_of(model, with_clicks([[5]] * 6))
    np.testing.assert_allclose(result, dot_logits(model, intents), atol=1e-3)


@pytest.mark.parametrize("attention", ["additive", "multihead"])
def test_the_order_of_items_does_not_matter(attention):
    model = small_model(AEM, attention=attention, num_heads=2)
    result = logits_of(model, with_clicks([[5, 9, 2]] * 6))
    other = logits_of(model, with_clicks([[2, 5, 9]] * 6))
    np.testing.assert_allclose(other, result, atol=1e-3)
    changed_items = logits_of(model, with_clicks([[5, 9, 3]] * 6))
    assert not np.allclose(changed_items, result, atol=1e-2)


def test_the_query_changes_the_weights(model):
    items = np.tile([5, 9, 2], (6, 1)).astype("int32")
    weights = model.attention(
        query_vectors(model).astype("float32"),
        item_vectors(model, items),
        np.ones((6, 3), bool),
    )[1]
    assert np.ptp(numpy(weights), axis=0).max() > 0.01


def test_multihead_attention_is_halved_with_the_query():
    """M = (q + u) / 2; each head of one item gives its value, whatever the query."""
    model = small_model(AEM, attention="multihead", num_heads=2)
    layer, h = model.attention, item_vectors(model, [[5]])[0, 0]
    kernel, bias = (numpy(x) for x in (layer.qkv_kernel, layer.qkv_bias))
    value = h @ kernel[:, 2 * WIDTH :] + bias[2 * WIDTH :]
    output = layer.output_dense
    user = value @ numpy(output.kernel) + numpy(output.bias)
    queries = query_vectors(model)
    result = logits_of(model, with_clicks([[5]] * 5 + [[]]))
    expected = dot_logits(model, np.concatenate([queries[:5] + user, queries[5:]]) / 2)
    np.testing.assert_allclose(result, expected, atol=1e-3)
