import dataclasses
import math

import numpy as np
import pytest
from support.batches import SPEC, batch, feature_tables, random_histories
from support.layer_weights import numpy, randomize

from sar_tf.models import BERT4Rec, get
from sar_tf.training.adam import is_bias

OPTIONS = {
    "embedding_dim": 4,
    "hidden_dim": 6,
    "inner_units": 8,
    "num_heads": 2,
    "dropout": 0.0,
}
# (recommendations, searches) of each history; SPEC holds at most (4, 3).
SIZES = [(4, 3), (2, 1), (0, 3), (1, 2), (4, 0), (0, 0)]
INPUTS = batch(SPEC, random_histories(SPEC, SIZES))
ITEMS = INPUTS["history"]["rec_items"]
SEQUENCES = INPUTS["rec"]["sequence_items"]


def small_model(**options):
    return randomize(BERT4Rec(SPEC, feature_tables(SPEC), **{**OPTIONS, **options}))


@pytest.fixture(scope="module")
def model():
    return small_model()


def encoded_of(model, items):
    return numpy(model.encode_history({"rec_items": items}, training=False)["vector"])


def test_registered_for_recommendation_only(model):
    assert get("bert4rec") is BERT4Rec
    assert BERT4Rec.tasks == ("rec",)
    assert model.needs == ("rec_items", "sequence_items", "sampled_items")
    assert model.loss_weights == {"cloze_loss": 1.0}


@pytest.mark.parametrize("normalizes_output", [True, False])
def test_the_vector_is_made_of_what_the_paper_says(normalizes_output):
    """Layer by layer, for a full history: all its items, and [MASK] behind them."""
    model = small_model(normalizes_output=normalizes_output)
    items = numpy(model.encode_items(ITEMS[:1]))
    mask_vector = numpy(model.mask_vector)[None, None]
    positions = numpy(model.positions.embedding.embeddings)[::-1]
    x = model.norm(np.concatenate([items, mask_vector], axis=1) + positions)
    for block in model.blocks:
        x = block(x, np.ones((1, 5), bool))
    x = numpy(model.projection(x))
    x = x * 0.5 * (1 + np.vectorize(math.erf)(x / np.sqrt(2)))
    expected = numpy(model.output_norm(x) if normalizes_output else x)[0, -1]
    result = encoded_of(model, ITEMS[:1])[0]
    np.testing.assert_allclose(result, [*expected, 1], rtol=1e-3, atol=1e-4)


def test_scores_are_products_with_a_bias(model):
    o = encoded_of(model, ITEMS)[:, :-1]
    ids = INPUTS["rec"]["candidates"]
    logits = np.einsum("bd,bcd->bc", o, numpy(model.encode_items(ids)))
    expected = 1 / (1 + np.exp(-logits - numpy(model.item_bias)[ids]))
    result = numpy(model.score("rec", INPUTS))
    np.testing.assert_allclose(result, expected, rtol=1e-4)


def test_the_items_bias_starts_at_0_and_has_no_penalty():
    model = BERT4Rec(SPEC, feature_tables(SPEC), **OPTIONS)
    np.testing.assert_array_equal(numpy(model.item_bias), 0)
    assert is_bias(model.item_bias)


def test_no_item_is_dropped_for_the_mask(model):
    """The oldest of a full history counts."""
    changed = ITEMS.copy()
    changed[:, 0] = changed[:, 0] % SPEC.num_items + 1
    after, before = encoded_of(model, changed), encoded_of(model, ITEMS)
    assert not np.allclose(after[0], before[0], atol=1e-4)


def test_an_early_slot_sees_later_ones(model):
    """The opposite of SASRec."""
    items = ITEMS[:1].copy()
    no_mask = np.zeros(items.shape, bool)
    before = numpy(model.fill_in(items, no_mask))
    items[0, 3] = items[0, 3] % SPEC.num_items + 1
    assert not np.allclose(numpy(model.fill_in(items, no_mask))[0, 0], before[0, 0])


def test_a_masked_item_is_not_seen(model):
    is_masked = np.zeros(ITEMS.shape, bool)
    is_masked[0, [1, 3]] = True
    other = np.where(is_masked, ITEMS % SPEC.num_items + 1, ITEMS)
    before, after = (numpy(model.fill_in(x, is_masked)) for x in (ITEMS, other))
    np.testing.assert_array_equal(after, before)


def test_masks_are_drawn_with_their_probability(model):
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 32, (500, 1))
    items = np.where(np.arange(31) < lengths, rng.integers(1, 21, (500, 31)), 0)
    rate = 0.3
    model = small_model(mask_rate=rate)
    is_masked = numpy(model.draw_masked(items))
    assert not is_masked[items == 0].any()
    assert (is_masked.any(axis=1) == (lengths[:, 0] > 0)).all()
    long = lengths[:, 0] > 20
    number = lengths[long].sum()
    error = abs(is_masked[long].sum() - rate * number)
    assert error < 5 * np.sqrt(number * rate * (1 - rate))
    assert (numpy(model.draw_masked(items)) != is_masked).any()


def test_the_newest_item_is_masked_where_none_was_drawn():
    model = small_model(mask_rate=0.0)
    expected = np.zeros(SEQUENCES.shape, bool)
    lengths = np.count_nonzero(SEQUENCES, axis=1)
    expected[np.arange(len(SEQUENCES)), lengths - 1] = True
    np.testing.assert_array_equal(numpy(model.draw_masked(SEQUENCES)), expected)


def test_the_cloze_loss_of_the_newest_item_is_that_of_the_final_mask():
    """Cross-entropy among the positive and the drawn items that differ from it."""
    model = small_model(mask_rate=0.0)
    sampled = INPUTS["rec"]["sampled_items"]
    costs = []
    for row in SEQUENCES:
        length = np.count_nonzero(row)
        history = np.where(np.arange(5) < length - 1, row, 0)[None, :4]
        o = encoded_of(model, history)[0]
        positive = row[length - 1]
        ids = np.array([positive, *sampled[sampled != positive]])
        logits = numpy(model.encode_candidates(ids)) @ o
        costs.append(np.log(np.exp(logits).sum()) - logits[0])
    result = float(model.losses_of("rec", INPUTS)["cloze_loss"])
    assert result == pytest.approx(np.mean(costs), rel=1e-4)


def test_empty_sequences_do_not_count():
    """Those that fill up a batch of static shapes."""
    model = small_model(mask_rate=0.0)
    padded = np.pad(SEQUENCES, ((1, 2), (0, 0)))
    wide = {**INPUTS, "rec": {**INPUTS["rec"], "sequence_items": padded}}
    result, expected = (
        float(model.losses_of("rec", x)["cloze_loss"]) for x in (wide, INPUTS)
    )
    assert result == pytest.approx(expected, rel=1e-5)


def test_without_its_weight_there_is_no_cloze_loss():
    model = small_model(cloze_weight=0.0)
    assert model.needs == ("rec_items",)
    assert model.losses_of("rec", INPUTS).keys() == {"click_loss"}


def test_a_longer_maximum_changes_nothing(model):
    """The same weights, and a model of longer histories with more padding."""
    spec = dataclasses.replace(SPEC, max_rec_history=6)
    longer = BERT4Rec(spec, feature_tables(spec), **OPTIONS)
    for own, other in zip(longer.variables, model.variables, strict=True):
        value = numpy(other)
        if own.shape != other.shape:
            value = np.pad(value, ((0, 2), (0, 0)))
        own.assign(value)
    wide = np.pad(ITEMS, ((0, 0), (0, 2)))
    np.testing.assert_allclose(
        encoded_of(longer, wide), encoded_of(model, ITEMS), rtol=1e-4, atol=1e-5
    )


def test_dropout_acts_in_training_only(model):
    dropped = small_model(dropout=0.5)
    expected = numpy(model.score("rec", INPUTS))
    np.testing.assert_allclose(numpy(dropped.score("rec", INPUTS)), expected)
    losses = {float(dropped.losses_of("rec", INPUTS)["click_loss"]) for _ in range(3)}
    assert len(losses) == 3
