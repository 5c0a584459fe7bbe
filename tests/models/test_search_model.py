"""What all models of search share: texts, biases, the original loss, the history."""

import dataclasses

import numpy as np
import pytest
from support.batches import SPEC, feature_tables
from support.layer_weights import numpy
from support.search_case import (
    INPUTS,
    SIZES,
    changed,
    clicked_row,
    dot_logits,
    item_vectors,
    logits_of,
    query_vectors,
    small_model,
    softplus,
    word_costs,
)

from sar_tf.models import AEM, HEM, QEM, TEM, ZAM, CoPPS

MODELS = [QEM, HEM, AEM, ZAM, TEM, CoPPS]
# Where 8 heads do not divide a small width.
HEADS = {cls: {"num_heads": 2, "dropout": 0.0} for cls in (TEM, CoPPS)}


def losses_of(model, inputs=INPUTS):
    found = model.losses_of("search", inputs)
    return {name: float(value) for name, value in found.items()}


@pytest.mark.parametrize("cls", MODELS)
def test_a_dataset_without_words_is_refused(cls):
    spec = dataclasses.replace(SPEC, num_words=0, caption_length=0)
    tables = feature_tables(spec)
    with pytest.raises(ValueError, match=r"by the words of queries, and the queries"):
        cls(spec, tables, **HEADS.get(cls, {}))


@pytest.mark.parametrize("cls", MODELS)
def test_words_are_as_wide_as_items(cls):
    model = small_model(cls, **HEADS.get(cls, {}))
    assert model.query_encoder.word_embedding.embeddings.shape == (16, 6)
    assert cls.tasks == ("search",)
    assert ("text_loss" in model.loss_weights) == (cls is HEM)


def test_an_item_predicts_the_words_of_its_text():
    """The mean is over the targets whose text has a word; fill-up rows do not count."""
    model = small_model(QEM, text_weight=0.5)
    assert model.loss_weights == {"text_loss": 0.5}
    words = INPUTS["search"]["item_words"].copy()
    words[1] = 0
    is_target = np.array([True] * 5 + [False])
    inputs = changed(INPUTS, "search", item_words=words, is_target=is_target)
    positives = item_vectors(model, INPUTS["search"]["candidates"][:, 0])
    costs = word_costs(model, positives, words)
    kept = [x for x, own in zip(costs, is_target, strict=True) if own and x is not None]
    assert len(kept) == 4
    expected = np.mean(kept)
    assert losses_of(model, inputs)["text_loss"] == pytest.approx(expected, rel=1e-4)


def test_no_text_at_all_has_no_loss():
    model = small_model(QEM, text_weight=1.0)
    words = np.zeros_like(INPUTS["search"]["item_words"])
    assert losses_of(model, changed(INPUTS, "search", item_words=words)) == (
        pytest.approx({"text_loss": 0.0, "click_loss": losses_of(model)["click_loss"]})
    )


def test_a_texts_loss_falls_as_its_words_move_towards_the_item():
    """Items of ids alone do not move along with the words of their captions."""
    model = small_model(QEM, text_weight=1.0, item_encoder="id")
    before = losses_of(model)["text_loss"]
    table = numpy(model.query_encoder.word_embedding.embeddings).copy()
    positives = item_vectors(model, INPUTS["search"]["candidates"][:, 0])
    drawn = INPUTS["search"]["sampled_words"]
    for item, words in zip(positives, INPUTS["search"]["item_words"], strict=True):
        table[np.setdiff1d(words, [0, *drawn])] += 0.3 * item
    model.query_encoder.word_embedding.embeddings.assign(table)
    assert losses_of(model)["text_loss"] < before


@pytest.mark.parametrize("cls", MODELS)
def test_an_items_bias_is_added(cls):
    model = small_model(cls, item_bias=True, **HEADS.get(cls, {}))
    bias, scores = numpy(model.item_bias), logits_of(model)
    model.item_bias.assign(np.zeros_like(bias))
    expected = logits_of(model) + bias[INPUTS["search"]["candidates"]]
    np.testing.assert_allclose(scores, expected, atol=1e-3)
    fresh = cls(SPEC, feature_tables(SPEC), item_bias=True)
    assert not numpy(fresh.item_bias).any() and "bias" in fresh.item_bias.name


@pytest.mark.parametrize("cls", [QEM, HEM, AEM, ZAM, TEM])
def test_the_original_loss_is_a_sum_and_has_the_texts(cls):
    model = small_model(cls, original_loss=True, **HEADS.get(cls, {}))
    logits = logits_of(model)
    costs = softplus(-logits[:, 0]) + softplus(logits[:, 1:]).sum(1)
    assert model.loss_weights["text_loss"] == 1
    result = losses_of(model)["click_loss"]
    assert result == pytest.approx(costs.mean(), rel=1e-4)


@pytest.mark.parametrize("cls", MODELS)
def test_losses_in_bfloat16(cls):
    """Views are drawn: the contrasts of two models are of others."""
    options = {"text_weight": 1.0, **HEADS.get(cls, {})}
    expected = losses_of(small_model(cls, **options))
    result = losses_of(small_model(cls, dtype="mixed_bfloat16", **options))
    assert result.keys() == expected.keys() and "text_loss" in result
    for name, value in result.items():
        if name in ("knowledge_loss", "within_loss", "between_loss"):
            assert np.isfinite(value)
        else:
            assert value == pytest.approx(expected[name], abs=0.02, rel=0.02)


def read_by(model):
    items = numpy(model.read_items(INPUTS["history"])[0])
    return [row[row > 0].tolist() for row in items]


def test_a_history_is_what_searches_clicked():
    model = small_model(AEM)
    assert model.needs == ("query_words", "clicked_items")
    assert read_by(model) == [clicked_row(row).tolist() for row in range(len(SIZES))]
    assert any(len(row) == 3 for row in read_by(model))


def test_a_history_of_recommendations():
    model = small_model(AEM, history="rec")
    assert model.needs == ("query_words", "rec_items")
    items = INPUTS["history"]["rec_items"]
    assert read_by(model) == [row[row > 0].tolist() for row in items]


def test_a_history_of_both_by_time():
    model = small_model(AEM, history="both")
    history, expected = INPUTS["history"], []
    for row in range(len(SIZES)):
        events = []
        for kind, items in (("rec", "rec_items"), ("search", "clicked_items")):
            for slot, found in enumerate(history[items][row]):
                time = history[f"{kind}_positions"][row, slot]
                events += [(time, int(i)) for i in np.atleast_1d(found) if i > 0]
        # Stable: the clicks of a search keep their order.
        events.sort(key=lambda event: event[0])
        expected.append([item for _, item in events][-4:])
    assert read_by(model) == expected
    assert len(expected[0]) == 4


@pytest.mark.parametrize("history", ["rec", "search", "both"])
def test_models_of_all_histories_score(history):
    model = small_model(AEM, history=history)
    query, items = query_vectors(model), read_by(model)
    empty = [row for row, own in enumerate(items) if not own]
    assert empty
    scores = logits_of(model)
    np.testing.assert_allclose(
        scores[empty], dot_logits(model, query)[empty], atol=1e-3
    )
    others = [row for row, own in enumerate(items) if own]
    assert not np.allclose(scores[others], dot_logits(model, query)[others], atol=1e-2)
