import dataclasses

import keras
import numpy as np
import pytest
from batches import SPEC, batch, feature_tables, random_histories
from gradients import gradients
from layer_weights import numpy, randomize

from sar_tf.layers.interest_contrast import SPLITS
from sar_tf.models import SESRec, get
from sar_tf.models.sesrec import ABLATIONS

OPTIONS = {
    "item_dims": (4, 2),
    "user_dims": (3,),
    "query_dim": 3,
    "word_dim": 2,
    "num_heads": 2,
    "dropout": 0.0,
    "prediction_units": (6, 3),
}
# (recommendations, searches) of each history; SPEC holds at most (4, 3).
SIZES = [(4, 3), (2, 1), (0, 3), (1, 2), (4, 0), (0, 0)]
LOSSES = ("click_loss", "query_item_loss", "contrast_loss")


def with_queries(inputs, spec=SPEC, seed=0):
    """Gives the search behaviors of a batch query ids and sources."""
    rng = np.random.default_rng(seed)
    highest_ids = {
        "search_queries": spec.num_queries,
        "search_sources": spec.num_search_sources,
    }
    for group in inputs["rec"]["history"]:
        mask = group["search_mask"]
        for name, highest in highest_ids.items():
            drawn = rng.integers(min(highest, 1), highest + 1, (mask.shape[0], 3))
            group[name] = np.where(mask, drawn[:, : mask.shape[1]], 0).astype("int32")
    return {"rec": inputs["rec"]}


def small_model(spec=SPEC, seed=0, **options):
    """A built model with random weights and feature tables."""
    model = SESRec(spec, **{**OPTIONS, **options})
    model.build_on(with_queries(batch(spec, random_histories(spec, [(1, 1)])), spec))
    model.set_feature_tables(feature_tables(spec))
    if "query_item_loss" in model.loss_weights["rec"]:
        temperature = float(model.query_item_contrast.temperature)
        randomize(model, seed)
        model.query_item_contrast.temperature.assign(temperature)
        return model
    return randomize(model, seed)


@pytest.fixture(scope="module")
def case():
    """A model, histories of all kinds, and their batch."""
    histories = random_histories(SPEC, SIZES)
    return small_model(), histories, with_queries(batch(SPEC, histories))


def scores_of(model, inputs):
    return numpy(model(inputs)["rec"]["scores"])


def losses_of(model, inputs):
    losses = model(inputs, training=True)["rec"]
    return {name: float(value) for name, value in losses.items()}


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
    groups = [(1, 4, 3), (1, 2, 1), (2, 1, 3), (2, 4, 1)]
    trimmed = with_queries(batch(SPEC, histories, groups))
    # The same queries in both batches.
    start = 0
    for group in trimmed["rec"]["history"]:
        rows = slice(start, start + len(group["search_mask"]))
        for name in ("search_queries", "search_sources"):
            width = group["search_mask"].shape[1]
            group[name] = inputs["rec"]["history"][0][name][rows, :width]
        start = rows.stop
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
        alone = model.score("rec", {**inputs["rec"], "candidates": candidates})
        np.testing.assert_allclose(numpy(alone)[:, 0], scores[:, column], rtol=1e-5)


def test_everything_is_finite(case):
    """Rows without recommendations, without searches, without both."""
    model, _, inputs = case
    assert np.isfinite(scores_of(model, inputs)).all()
    assert np.isfinite(list(losses_of(model, inputs).values())).all()

    def total():
        return sum(model.losses_of("rec", inputs["rec"]).values())

    for variable, gradient in zip(
        model.trainable_variables,
        gradients(total, model.trainable_variables),
        strict=True,
    ):
        assert np.isfinite(gradient).all(), variable.path


def test_only_empty_histories():
    model = small_model()
    inputs = with_queries(batch(SPEC, [[], []], [(2, 1, 1)]))
    assert np.isfinite(scores_of(model, inputs)).all()
    losses = losses_of(model, inputs)
    assert losses["query_item_loss"] == losses["contrast_loss"] == 0


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_ablations_add_one_module_each(ablation):
    # A margin so large that every triplet costs something.
    model = small_model(ablation=ablation, triplet_margin=20.0)
    inputs = with_queries(batch(SPEC, random_histories(SPEC, SIZES)))
    losses = losses_of(model, inputs)
    number = {"base": 1, "alignment": 2, "contrast": 3, "full": 3}[ablation]
    assert tuple(losses) == LOSSES[:number] == tuple(model.loss_weights["rec"])
    width = sum(model.item_encoder.feature_dims) + model.item_encoder.embedding_dim
    interests = 6 if ablation == "full" else 2
    kernel = model.prediction.hidden[0].kernel
    assert kernel.shape[0] == (interests + 1) * width + 3 + 3
    assert np.isfinite(scores_of(model, inputs)).all()
    # No weight is left without a use.
    named = {v.path: v for v in model.trainable_variables}

    def total():
        return sum(model.losses_of("rec", inputs["rec"]).values())

    used = gradients(total, list(named.values()))
    unused = [n for n, g in zip(named, used, strict=True) if not np.any(g)]
    assert not unused


@pytest.mark.parametrize("split", SPLITS)
def test_splits(case, monkeypatch, split):
    model, _, inputs = case
    monkeypatch.setattr(model, "split", split)
    group = model.encode_history(inputs["rec"]["history"][0])
    for scenario, mask in group["masks"].items():
        similar, dissimilar = (
            numpy(group[side][scenario]) for side in ("similar", "dissimilar")
        )
        np.testing.assert_array_equal(similar | dissimilar, mask)
        np.testing.assert_array_equal(similar.any(axis=1), mask.any(axis=1))
        np.testing.assert_array_equal(dissimilar.any(axis=1), mask.any(axis=1))
    assert np.isfinite(list(losses_of(model, inputs).values())).all()


def test_search_sources_and_query_ids_count(case):
    model, _, inputs = case
    before = scores_of(model, inputs)
    for name in ("search_sources", "search_queries"):
        history = dict(inputs["rec"]["history"][0])
        history[name] = np.where(history["search_mask"], 1, 0).astype("int32")
        changed = {"rec": {**inputs["rec"], "history": (history,)}}
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
    inputs = with_queries(batch(spec, random_histories(spec, SIZES)), spec)
    assert numpy(model.source_embedding.embeddings).shape == (1, 8)
    assert np.isfinite(scores_of(model, inputs)).all()


def test_config_round_trips(case):
    model, _, inputs = case
    copy = SESRec.from_config(model.get_config())
    copy.build_on(inputs)
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(scores_of(copy, inputs), scores_of(model, inputs))


def test_it_learns(case):
    """In steps that XLA compiles, as for a TPU."""
    _, _, inputs = case
    keras.utils.set_random_seed(6)
    model = SESRec(SPEC, **{**OPTIONS, "dropout": 0.1})
    model.build_on(inputs)
    model.compile(keras.optimizers.Adam(0.02), jit_compile=True)
    losses = []
    for _ in range(60):
        model.reset_metrics()
        step = model.train_on_batch(inputs, return_dict=True)
        losses.append(float(step["rec_click_loss"]))
    # Of several steps, as dropout moves each.
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) / 2


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"ablation": "none"}, "ablation must be one of base, alignment"),
        ({"split": "1/4"}, "split must be one of mean, median"),
        ({"item_dims": (4, 2, 2, 2)}, "item_dims has 4 widths for an id and 2 feat"),
        ({"num_heads": 3}, "num_heads=3 does not divide the width 8"),
        ({"co_attention": "official"}, "'reference' or 'paper'"),
    ],
)
def test_unusable_hyperparameters(options, problem):
    with pytest.raises(ValueError, match=problem):
        small_model(**options)
