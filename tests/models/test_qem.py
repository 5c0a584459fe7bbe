import numpy as np
import pytest
from support.batches import SPEC, batch, feature_tables, random_histories
from support.layer_weights import numpy, randomize

from sar_tf.models import QEM, get

OPTIONS = {"embedding_dim": 4, "hidden_dim": 6}
WORDS = np.array([[3, 5, 0], [7, 0, 0], [2, 9, 4], [0, 0, 0]], "int32")


@pytest.fixture(scope="module")
def case():
    """A model, and a batch with the queries of WORDS."""
    model = randomize(QEM(SPEC, feature_tables(SPEC), **OPTIONS))
    return model, batch(SPEC, random_histories(SPEC, [(2, 1)] * 4))


def scores_of(model, inputs, words=WORDS, **arrays):
    search = {**inputs["search"], "query_words": np.asarray(words, "int32"), **arrays}
    return numpy(model.score("search", {"search": search}))


def test_registered_for_search_only():
    assert get("qem") is QEM
    assert QEM.tasks == ("search",)
    assert QEM.needs == ("query_words",)


def test_scores_by_hand(case):
    """The product of the item's vector and tanh(W mean(words) + b)."""
    model, inputs = case
    encoder = model.query_encoder
    table = numpy(encoder.word_embedding.embeddings)
    means = np.stack(
        [table[row[row > 0]].mean(0) if row.any() else np.zeros(6) for row in WORDS]
    )
    queries = np.tanh(means @ numpy(encoder.dense.kernel) + numpy(encoder.dense.bias))
    items = numpy(model.encode_items(inputs["search"]["candidates"]))
    expected = 1 / (1 + np.exp(-np.einsum("bd,bcd->bc", queries, items)))
    np.testing.assert_allclose(scores_of(model, inputs), expected, rtol=1e-4)


def test_neither_user_nor_history_matters(case):
    model, inputs = case
    search = {**inputs["search"], "query_words": WORDS}
    result = model.score("search", {**inputs, "search": search})
    np.testing.assert_array_equal(numpy(result), scores_of(model, inputs))
    other = scores_of(model, inputs, user=inputs["search"]["user"][::-1])
    np.testing.assert_array_equal(other, scores_of(model, inputs))


def test_word_order_and_padding_do_not_matter(case):
    model, inputs = case
    expected = scores_of(model, inputs)
    result = scores_of(model, inputs, WORDS[:, ::-1])
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    result = scores_of(model, inputs, np.pad(WORDS, ((0, 0), (1, 4))))
    np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_a_repeated_word_counts_twice(case):
    model, _ = case
    encoder = model.query_encoder
    table = numpy(encoder.word_embedding.embeddings)
    mean = (2 * table[3] + table[5]) / 3
    expected = np.tanh(mean @ numpy(encoder.dense.kernel) + numpy(encoder.dense.bias))
    result = numpy(model.encode_queries(np.array([[3, 3, 5], [3, 5, 3]])))
    np.testing.assert_allclose(result, [expected] * 2, rtol=1e-4)
