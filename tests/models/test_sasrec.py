import dataclasses

import numpy as np
import pytest
from keras import ops
from support.batches import SPEC, batch, feature_tables, random_histories
from support.layer_weights import numpy, randomize

from sar_tf.models import SASRec, get

OPTIONS = {"embedding_dim": 4, "hidden_dim": 6, "num_heads": 2, "dropout": 0.0}
# (recommendations, searches) of each history; SPEC holds at most (4, 3).
SIZES = [(4, 3), (2, 1), (0, 3), (1, 2), (4, 0), (0, 0)]


def small_model(spec=SPEC, **options):
    model = SASRec(spec, feature_tables(spec), **{**OPTIONS, **options})
    return randomize(model)


def with_items(inputs, items):
    return {**inputs, "history": {**inputs["history"], "rec_items": items}}


@pytest.fixture(scope="module")
def case():
    """A model, and a batch of histories of all kinds."""
    return small_model(), batch(SPEC, random_histories(SPEC, SIZES))


def scores_of(model, inputs):
    return numpy(model.score("rec", inputs))


def encoded_of(model, inputs):
    return numpy(model.encode_history(inputs["history"], training=False)["vector"])


def test_registered_for_recommendation_only():
    assert get("sasrec") is SASRec
    assert SASRec.tasks == ("rec",)
    assert SASRec.needs == ("rec_items",)


def test_scores_are_products_with_the_vector_of_the_history(case):
    model, inputs = case
    vectors = encoded_of(model, inputs)
    candidates = numpy(model.encode_items(inputs["rec"]["candidates"]))
    expected = 1 / (1 + np.exp(-np.einsum("bd,bcd->bc", vectors, candidates)))
    np.testing.assert_allclose(scores_of(model, inputs), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("item_encoder", "scale"), [("id", np.sqrt(6)), ("features", 1.0)]
)
def test_the_vector_is_made_of_what_the_paper_says(case, item_encoder, scale):
    """Layer by layer, for a full history; the factor is for a plain table."""
    _, inputs = case
    model = small_model(item_encoder=item_encoder)
    items = inputs["history"]["rec_items"][:1]
    positions = numpy(model.positions.embedding.embeddings)[::-1]
    x = numpy(model.encode_items(items)) * scale + positions
    mask = np.ones((1, 4), bool)
    for block in model.blocks:
        x = block(x, mask)
    expected = numpy(model.norm(x))[:, -1]
    np.testing.assert_allclose(encoded_of(model, inputs)[:1], expected, rtol=1e-4)


def test_the_blocks_of_bert4rec(case):
    """LN before them and not behind, no factor; a slot sees no later one."""
    _, inputs = case
    model = small_model(block="bert", inner_units=8, item_encoder="id")
    items = inputs["history"]["rec_items"][:1]
    positions = numpy(model.positions.embedding.embeddings)[::-1]
    x = model.norm(numpy(model.encode_items(items)) + positions)
    for block in model.blocks:
        assert block.is_causal and block.inner_units == 8
        x = block(x, np.ones((1, 4), bool))
    expected = numpy(x)[:, -1]
    np.testing.assert_allclose(encoded_of(model, inputs)[:1], expected, rtol=1e-4)
    before = numpy(model.encode(items, items > 0))
    items = items.copy()
    items[0, 2] = items[0, 2] % SPEC.num_items + 1
    after = numpy(model.encode(items, items > 0))
    np.testing.assert_allclose(after[:, :2], before[:, :2], atol=1e-6)
    assert not np.allclose(after[:, 2:], before[:, 2:], atol=1e-3)


def test_order_matters(case):
    model, inputs = case
    items = inputs["history"]["rec_items"].copy()
    items[0, [1, 2]] = items[0, [2, 1]]
    changed = scores_of(model, with_items(inputs, items))
    before = scores_of(model, inputs)
    assert not np.allclose(changed[0], before[0])
    np.testing.assert_allclose(changed[1:], before[1:], rtol=1e-6)


def test_only_the_recommendation_history_is_read(case):
    model, inputs = case
    own = {"rec_items": inputs["history"]["rec_items"]}
    result = model.score("rec", {"history": own, "rec": inputs["rec"]})
    np.testing.assert_array_equal(numpy(result), scores_of(model, inputs))


def test_an_empty_history_scores_all_alike(case):
    model, inputs = case
    scores = scores_of(model, inputs)
    for row, (num_rec, _) in enumerate(SIZES):
        assert np.all(scores[row] == 0.5) == (num_rec == 0)


def test_padding_on_the_left_is_the_same(case):
    """The authors' layout: positions count from the newest item."""
    model, inputs = case
    items = inputs["history"]["rec_items"]
    left = np.zeros((len(items), 7), "int32")
    for row, (num_rec, _) in enumerate(SIZES):
        left[row, 7 - num_rec :] = items[row, :num_rec]
    result = scores_of(model, with_items(inputs, left))
    np.testing.assert_allclose(result, scores_of(model, inputs), rtol=1e-5)


def test_a_longer_maximum_changes_nothing(case):
    """The same weights, and a model of longer histories with more padding."""
    model, inputs = case
    longer = small_model(dataclasses.replace(SPEC, max_rec_history=6))
    for own, other in zip(longer.variables, model.variables, strict=True):
        value = numpy(other)
        if own.shape != other.shape:
            value = np.pad(value, ((0, 2), (0, 0)))
        own.assign(value)
    items = np.pad(inputs["history"]["rec_items"], ((0, 0), (0, 2)))
    result = scores_of(longer, with_items(inputs, items))
    np.testing.assert_allclose(result, scores_of(model, inputs), rtol=1e-5)


def test_items_by_their_id_alone():
    """No tables are needed, and an item's vector is its row of the embedding."""
    model = SASRec(SPEC, item_encoder="id", **OPTIONS)
    items = np.array([[3, 0]])
    expected = numpy(model.item_encoder.id_embedding.embeddings)[items]
    expected[0, 1] = 0
    np.testing.assert_array_equal(numpy(model.encode_items(items)), expected)
    assert model.query_encoder is None


def test_captions_are_encoded_without_queries(case):
    """The words of captions have an encoder, though the task has no query."""
    model, _ = case
    item, words = np.array([1]), model.item_encoder.tables["caption"]
    before = numpy(model.encode_items(item))
    embedding = model.query_encoder.word_embedding.embeddings
    table = numpy(embedding)
    embedding.assign(ops.add(embedding, 1.0))
    changed = numpy(model.encode_items(item))
    embedding.assign(table)
    assert numpy(words)[1].any()
    assert not np.allclose(changed, before)


def test_dropout_acts_in_training_only():
    model, inputs = small_model(dropout=0.5), batch(SPEC, random_histories(SPEC, SIZES))
    expected = scores_of(small_model(), inputs)
    np.testing.assert_allclose(scores_of(model, inputs), expected, rtol=1e-6)
    losses = {float(model.losses_of("rec", inputs)["click_loss"]) for _ in range(3)}
    assert len(losses) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 4}, "num_heads=4 does not divide the width 6"),
        ({"item_encoder": "ids"}, "item_encoder must be one of features, id"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
        ({"num_blocks": 0}, "num_blocks must be at least 1"),
    ],
)
def test_what_is_out_of_range_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small_model(**options)
