import numpy as np
import pytest
from support.layer_weights import numpy
from support.search_case import (
    INPUTS,
    WIDTH,
    clicked_row,
    dot_logits,
    item_vectors,
    logits_of,
    numpy_f,
    query_vectors,
    small_model,
)

from sar_tf.models import ZAM, get


@pytest.fixture(scope="module")
def model():
    return small_model(ZAM, num_queries=3)


def test_registered_for_search_only(model):
    assert get("zam") is ZAM
    assert model.needs == ("query_words", "clicked_items")


def test_scores_by_hand(model):
    """u = sum_j e^x_j h_j / (1 + sum_j e^x_j)."""
    intents = []
    for row, query in enumerate(query_vectors(model)):
        h = item_vectors(model, clicked_row(row))
        terms = np.exp([numpy_f(model, query, item) for item in h])
        intents.append(query + terms @ h / (1 + terms.sum()))
    np.testing.assert_allclose(logits_of(model), dot_logits(model, intents), atol=1e-3)


def gates_of(model):
    encoded = model.encode_history(INPUTS["history"], training=False)
    queries = query_vectors(model).astype("float32")
    return numpy(model.attention(queries, encoded["items"], encoded["mask"])[1]).sum(1)


def test_the_gate_of_personalization(model):
    for row, gate in enumerate(gates_of(model)):
        if len(clicked_row(row)):
            assert 0 < gate < 1
        else:
            assert gate == 0


@pytest.mark.parametrize(("value", "is_personal"), [(-60.0, False), (60.0, True)])
def test_very_low_logits_are_qem_and_very_high_ones_aem(value, is_personal):
    """Queries that ask for the first channel alone, which is 1 in all items."""
    model = small_model(ZAM, num_queries=3)
    queries = model.attention.queries
    queries.kernel.assign(np.zeros((WIDTH, 3 * WIDTH)))
    queries.bias.assign(np.tile([50.0] + [0.0] * (WIDTH - 1), 3))
    model.attention.mix.assign(np.full((3, 1), value / 3))
    vectors = np.random.default_rng(0).normal(size=(21, WIDTH)).astype("float32")
    vectors[:, 0], vectors[0] = 1.0, 0.0
    model.encode_items = lambda items: vectors[np.asarray(items)]
    intents = query_vectors(model)
    for row, intent in enumerate(intents):
        if is_personal and len(clicked_row(row)):
            intent += vectors[clicked_row(row)].mean(0)
    np.testing.assert_allclose(logits_of(model), dot_logits(model, intents), atol=1e-3)


def test_multihead_attention_to_a_zero_vector():
    """Without biases its key has logit 0 and its value is 0: one item, two heads."""
    model = small_model(ZAM, attention="multihead", num_heads=2)
    layer = model.attention
    assert not layer.use_bias
    queries = query_vectors(model)
    kernel, output = numpy(layer.qkv_kernel), numpy(layer.output_dense.kernel)
    w_q, w_k, w_v = np.split(kernel, 3, axis=1)
    intents = []
    for row, query in enumerate(queries):
        h = item_vectors(model, clicked_row(row)).reshape(-1, WIDTH)
        context = []
        for part in (slice(0, 3), slice(3, 6)):
            logits = (query @ w_q)[part] @ (h @ w_k)[:, part].T / np.sqrt(3)
            terms = np.exp(logits)
            context.append(terms @ (h @ w_v)[:, part] / (1 + terms.sum()))
        intents.append((query + np.concatenate(context) @ output) / 2)
    np.testing.assert_allclose(logits_of(model), dot_logits(model, intents), atol=1e-3)
