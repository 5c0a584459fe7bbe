import dataclasses

import keras
import numpy as np
import pytest
from support.batches import SPEC, feature_tables, random_histories
from support.gradients import gradients
from support.layer_weights import numpy
from support.sesrec_case import OPTIONS, losses_of, rec_batch, scores_of, small_model

from sar_tf.layers.interest_contrast import SPLITS
from sar_tf.models import SESRec, get, groups
from sar_tf.models.sesrec import ABLATIONS
from sar_tf.models.unisar import PAIR_INPUTS

# (recommendations, searches) of each history; SPEC holds at most (4, 3).
SIZES = [(4, 3), (2, 1), (0, 3), (1, 2), (4, 0), (0, 0)]
LOSSES = ("click_loss", "query_item_loss", "contrast_loss")


@pytest.fixture(scope="module")
def case():
    """A model, histories of all kinds, and their batch."""
    histories = random_histories(SPEC, SIZES)
    return small_model(), histories, rec_batch(SPEC, histories)


def total_loss(model, inputs):
    return model.compute_loss(y_pred=model(inputs, training=True))


def test_registered_for_recommendation_only(case):
    model, _, inputs = case
    assert get("sesrec") is SESRec
    assert model.tasks == ("rec",)
    assert list(model({**inputs, "search": None})) == ["rec"]


@pytest.mark.parametrize("co_attention", ["reference", "paper"])
def test_padding_changes_nothing(case, co_attention):
    """Full widths, and as few slots as each group needs."""
    _, histories, inputs = case
    model = small_model(co_attention=co_attention)
    layout = [(1, 4, 3), (1, 2, 1), (2, 1, 3), (2, 4, 1)]
    trimmed = rec_batch(SPEC, histories, layout)
    cut = groups.cut_histories(trimmed["history"], model.trims_history)
    widths = [group.history["rec_items"].shape[1] for group in cut]
    assert widths == ([4, 4, 4, 4] if co_attention == "reference" else [4, 2, 1, 4])
    np.testing.assert_allclose(
        scores_of(model, trimmed), scores_of(model, inputs), rtol=1e-5
    )
    assert losses_of(model, trimmed) == pytest.approx(
        losses_of(model, inputs), rel=1e-4
    )


def test_a_candidate_is_scored_as_if_alone(case):
    model, _, inputs = case
    scores = scores_of(model, inputs)
    for column in range(scores.shape[1]):
        candidates = inputs["rec"]["candidates"][:, column : column + 1]
        alone = {**inputs, "rec": {**inputs["rec"], "candidates": candidates}}
        found = numpy(model.score("rec", alone))
        np.testing.assert_allclose(found[:, 0], scores[:, column], rtol=1e-5)


def test_everything_is_finite(case):
    """Rows without recommendations, without searches, without both."""
    model, _, inputs = case
    assert np.isfinite(scores_of(model, inputs)).all()
    assert np.isfinite(list(losses_of(model, inputs).values())).all()

    def total():
        return sum(model.losses_of("rec", inputs).values())

    for variable, gradient in zip(
        model.trainable_variables,
        gradients(total, model.trainable_variables),
        strict=True,
    ):
        assert np.isfinite(gradient).all(), variable.path


def test_only_empty_histories():
    model = small_model()
    inputs = rec_batch(SPEC, [[], []], [(2, 1, 1)])
    assert np.isfinite(scores_of(model, inputs)).all()
    losses = losses_of(model, inputs)
    assert losses["query_item_loss"] == losses["contrast_loss"] == 0


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_ablations_add_one_module_each(ablation):
    # A margin so large that every triplet costs something.
    model = small_model(ablation=ablation, triplet_margin=20.0)
    inputs = rec_batch(SPEC, random_histories(SPEC, SIZES))
    losses = losses_of(model, inputs)
    number = {"base": 1, "alignment": 2, "contrast": 3, "full": 3}[ablation]
    assert tuple(losses) == LOSSES[:number] == ("click_loss", *model.loss_weights)
    width = sum(model.item_encoder.feature_dims) + model.item_encoder.embedding_dim
    interests = 6 if ablation == "full" else 2
    kernel = model.prediction.hidden[0].kernel
    assert kernel.shape[0] == (interests + 1) * width + 3 + 3
    assert np.isfinite(scores_of(model, inputs)).all()
    # No weight is left without a use.
    named = {v.path: v for v in model.trainable_variables}

    def total():
        return sum(model.losses_of("rec", inputs).values())

    used = gradients(total, list(named.values()))
    unused = [n for n, g in zip(named, used, strict=True) if not np.any(g)]
    assert not unused


@pytest.mark.parametrize("split", SPLITS)
def test_splits(case, monkeypatch, split):
    model, _, inputs = case
    monkeypatch.setattr(model, "split", split)
    read = model.encode_history(inputs["history"], training=False)["masks"]
    for masks in read.values():
        mask, similar, dissimilar = map(numpy, masks)
        np.testing.assert_array_equal(similar | dissimilar, mask)
        np.testing.assert_array_equal(similar.any(axis=1), mask.any(axis=1))
        np.testing.assert_array_equal(dissimilar.any(axis=1), mask.any(axis=1))
    assert np.isfinite(list(losses_of(model, inputs).values())).all()


def test_search_sources_and_query_ids_count(case):
    model, _, inputs = case
    before = scores_of(model, inputs)
    for name in ("search_sources", "search_queries"):
        history = dict(inputs["history"])
        history[name] = np.where(history["search_mask"], 1, 0).astype("int32")
        changed = {**inputs, "history": history}
        differs = np.any(scores_of(model, changed) != before, axis=1)
        assert differs[0]
        assert not differs[4]  # no searches


def test_data_without_features_and_sources():
    spec = dataclasses.replace(
        SPEC,
        num_search_sources=0,
        user_features={},
        item_features={},
        caption_length=0,
    )
    model = small_model(spec, item_dims=(8,))
    inputs = rec_batch(spec, random_histories(spec, SIZES))
    assert numpy(model.source_embedding.embeddings).shape == (1, 8)
    assert np.isfinite(scores_of(model, inputs)).all()


def test_it_learns(case):
    """In steps that XLA compiles, as for a TPU."""
    _, _, inputs = case
    keras.utils.set_random_seed(6)
    model = SESRec(SPEC, feature_tables(SPEC), **{**OPTIONS, "dropout": 0.1})
    model.compile(keras.optimizers.Adam(0.02), jit_compile=True)
    losses = []
    for _ in range(60):
        model.reset_metrics()
        step = model.train_on_batch(inputs, return_dict=True)
        losses.append(float(step["rec_click_loss"]))
    # Of several steps, as dropout moves each.
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) / 2


@pytest.mark.parametrize(
    ("weights", "left_out"),
    [
        ({"query_item_weight": 0.0}, {"query_item_loss"}),
        ({"contrast_weight": 0.0}, {"contrast_loss"}),
    ],
)
def test_a_loss_of_weight_0_is_left_out(case, weights, left_out):
    whole, _, inputs = case
    model = small_model(**weights)
    assert set(whole.loss_weights) - set(model.loss_weights) == left_out
    assert set(losses_of(model, inputs)) == {"click_loss", *model.loss_weights}
    needs = set(whole.needs) - set(model.needs)
    if "query_item_loss" in left_out:
        assert needs == {*PAIR_INPUTS, "pair_queries", "sampled_queries"}
        assert not hasattr(model, "query_item_contrast")
    else:
        assert not needs


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"ablation": "none"}, "ablation must be one of base, alignment"),
        ({"split": "1/4"}, "split must be one of mean, median"),
        ({"item_dims": (4, 2, 2, 2)}, "item_dims has 4 widths for an id and 2 feat"),
        ({"num_heads": 3}, "num_heads=3 does not divide the width 8"),
        (
            {"co_attention": "official"},
            "co_attention must be one of reference, paper, not 'official'",
        ),
    ],
)
def test_unusable_hyperparameters(options, problem):
    with pytest.raises(ValueError, match=problem):
        small_model(**options)
