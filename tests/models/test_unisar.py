import dataclasses

import keras
import numpy as np
import pytest
from support.batches import SPEC, batch, feature_tables, random_histories
from support.gradients import gradients
from support.layer_weights import numpy
from support.numpy_unisar import NumpyUniSAR
from support.unisar_case import (
    OPTIONS,
    PAPER,
    REFERENCE,
    SIZES,
    assign_random,
    losses_of,
    scores_of,
    search_batch,
    small_model,
    total_loss,
)

from sar_tf.models import UniSAR

TASKS = ("rec", "search")
LOSSES = ("click_loss", "query_item_loss", "transition_loss")


@pytest.fixture
def case():
    """A model, histories of all kinds, and their batch."""
    model = small_model(**REFERENCE)
    assign_random(model)
    histories = random_histories(SPEC, SIZES)
    return model, histories, search_batch(histories)


@pytest.mark.parametrize(
    ("num_layers", "fusion", "transition_negatives"),
    [(1, "reference", "reference"), (2, "paper", "paper")],
)
def test_scores_and_losses_equal_the_equations(
    num_layers, fusion, transition_negatives
):
    """Eq. 1 to 10, the mixed encoder over the merged sequence with M."""
    variants = {"fusion": fusion, "transition_negatives": transition_negatives}
    model = small_model(num_layers=num_layers, **variants)
    state = assign_random(model)
    histories = random_histories(SPEC, SIZES, seed=1)
    inputs = batch(SPEC, histories)
    expected = NumpyUniSAR(state, feature_tables(SPEC), num_heads=2, **variants)
    for task, scores in scores_of(model, inputs).items():
        np.testing.assert_allclose(
            scores, expected.scores(task, histories, inputs[task]), atol=1e-5
        )
        assert np.all(np.ptp(scores, axis=0) > 1e-3)  # the histories tell
        assert np.median(np.ptp(scores, axis=1)) > 1e-3  # and so do candidates
    losses = losses_of(model, inputs)
    for task in TASKS:
        for name, value in expected.losses(task, histories, inputs[task]).items():
            assert losses[task, name] == pytest.approx(value, abs=1e-4), (task, name)


def test_counted_pairs_give_the_loss_of_all_slots(case):
    """As the input pipeline counts them: (words, item) and how often it occurs."""
    model, _, inputs = case
    history = inputs["history"]
    clicked = history["clicked_items"]
    words = np.repeat(history["search_words"][:, :, None], clicked.shape[2], axis=2)
    slots = np.concatenate([words, clicked[..., None]], axis=-1)[clicked > 0]
    pairs, counts = np.unique(slots, axis=0, return_counts=True)
    counted = {
        "pair_query_words": pairs[:, :-1],
        "pair_items": pairs[:, -1],
        "pair_counts": counts.astype("float32"),
    }
    distinct = {**inputs, "search": {**inputs["search"], **counted}}
    assert losses_of(model, distinct) == pytest.approx(losses_of(model, inputs))


def test_ids_alone():
    """Without features and captions, as on the Amazon data."""
    spec = dataclasses.replace(
        SPEC, user_features={}, item_features={}, caption_length=0
    )
    model = UniSAR(spec, **OPTIONS)
    state = assign_random(model)
    histories = random_histories(spec, SIZES)
    inputs = batch(spec, histories)
    tables = {"user": {}, "item": {}}
    expected = NumpyUniSAR(state, tables, 2, "reference", "reference")
    for task, scores in scores_of(model, inputs).items():
        np.testing.assert_allclose(
            scores, expected.scores(task, histories, inputs[task]), atol=1e-5
        )


def test_item_0_is_the_zero_vector(case):
    model, _, _ = case
    encoded = numpy(model.encode_items(np.array([[0, 1]], "int32")))
    np.testing.assert_array_equal(encoded[0, 0], 0)
    assert np.all(encoded[0, 1] != 0)


def test_the_order_across_scenarios_matters(case):
    """The same two sub-histories, merged in another order."""
    model, _, _ = case
    rec = [("rec", 3), ("rec", 5)]
    search = [("search", [2], [4]), ("search", [6, 1], [])]
    one, other = (
        scores_of(model, search_batch([history]))["search"]
        for history in (rec + search, [search[0], *rec, search[1]])
    )
    assert not np.allclose(one, other, rtol=0, atol=1e-4)


@pytest.mark.parametrize("variant", [REFERENCE, PAPER], ids=["reference", "paper"])
def test_every_weight_is_learned(variant):
    model = small_model(**variant)
    if variant is REFERENCE:
        assign_random(model)
    inputs = batch(SPEC, random_histories(SPEC, SIZES))
    variables = model.trainable_variables
    result = gradients(lambda: total_loss(model, inputs), variables)
    unused = [v.path for v, g in zip(variables, result, strict=True) if not np.any(g)]
    assert unused == []


def test_total_loss_is_weighted_by_alpha_beta_and_gamma():
    """Eq. 11 and 12 without the L2 term."""
    alpha, beta, gamma = 0.3, 0.7, 0.2
    model = UniSAR(
        SPEC,
        feature_tables(SPEC),
        query_item_weight=alpha,
        transition_weight=beta,
        search_loss_weight=gamma,
        **OPTIONS,
    )
    losses = {
        "rec": dict(zip(LOSSES, (1.0, 2.0, 3.0), strict=True)),
        "search": dict(zip(LOSSES, (5.0, 7.0, 11.0), strict=True)),
    }
    outputs = {
        task: {"losses": {n: (([x, 9], [1, 0]),) for n, x in values.items()}}
        for task, values in losses.items()
    }
    expected = 1 + alpha * 2 + beta * 3 + gamma * (5 + alpha * 7 + beta * 11)
    assert float(model.compute_loss(y_pred=outputs)) == pytest.approx(expected)
    results = {n: float(v) for n, v in model.get_metrics_result().items()}
    assert results["loss"] == pytest.approx(expected)
    assert results["click_loss"] == pytest.approx(1 + gamma * 5)
    for task in TASKS:
        for name in LOSSES:
            assert results[f"{task}_{name}"] == losses[task][name]


def test_dropout_acts_in_training_only(case):
    plain, _, inputs = case
    model = small_model(dropout=0.5)
    assign_random(model)
    expected = scores_of(plain, inputs)
    for task, scores in scores_of(model, inputs).items():
        np.testing.assert_array_equal(scores, expected[task])
    dropped = [losses_of(model, inputs)["search", "click_loss"] for _ in range(2)]
    assert dropped[0] != dropped[1]
    kept = [losses_of(plain, inputs)["search", "click_loss"] for _ in range(2)]
    assert kept[0] == kept[1]


def test_a_loss_of_weight_0_is_left_out_with_its_weights_and_inputs():
    whole = small_model(**REFERENCE)
    model = small_model(query_item_weight=0.0, transition_weight=0.0)
    assert model.loss_weights == {}
    assert not {"sampled_items", "pair_items", "pair_counts"} & set(model.needs)
    assert set(model.needs) < set(whole.needs)
    # A kernel and a temperature of each contrast.
    assert len(whole.trainable_variables) - len(model.trainable_variables) == 3 * 2
    assert not any("temperature" in v.path for v in model.trainable_variables)
    inputs = batch(SPEC, random_histories(SPEC, SIZES))
    losses = losses_of(model, inputs)
    assert losses.keys() == {(task, "click_loss") for task in TASKS}
    variables = model.trainable_variables
    assert all(map(np.any, gradients(lambda: total_loss(model, inputs), variables)))


def test_variables_have_names_of_their_own(case):
    paths = [variable.path for variable in case[0].variables]
    assert len(set(paths)) == len(paths)


def test_hyperparameters_are_those_of_the_constructor():
    settings = UniSAR.hyperparameters()
    defaults = {name: setting.default for name, setting in settings.items()}
    assert defaults["num_experts"] == 4
    assert {defaults[n] for n in ("fusion", "mmoe_head")} == {"reference"}
    assert defaults["transition_negatives"] == "reference"
    assert defaults["tasks"] is None
    assert not {"spec", "tables"} & defaults.keys()
    config = small_model(num_experts=3).get_config()
    assert {n: config[n] for n in defaults} == {**defaults, **OPTIONS, "num_experts": 3}


@pytest.mark.parametrize("name", ["fusion", "mmoe_head", "transition_negatives"])
def test_unknown_variants_are_named(name):
    with pytest.raises(ValueError, match=f"{name} must be .* not 'official'"):
        UniSAR(SPEC, **{name: "official"})


def test_mixed_bfloat16(case):
    model, _, inputs = case
    half = small_model(dtype="mixed_bfloat16")
    assert keras.config.dtype_policy().name == "float32"
    assign_random(half)
    assert {v.dtype for v in half.trainable_variables} == {"float32"}
    expected = scores_of(model, inputs)
    for task, outputs in half(inputs).items():
        np.testing.assert_allclose(numpy(outputs["scores"]), expected[task], atol=0.03)
        assert keras.backend.standardize_dtype(outputs["scores"].dtype) == "float32"
    expected = losses_of(model, inputs)
    for task in inputs.keys() - {"history"}:
        for name, value in half.losses_of(task, inputs).items():
            assert keras.backend.standardize_dtype(value.dtype) == "float32"
            assert float(value) == pytest.approx(expected[task, name], rel=0.1), name
    variables = half.trainable_variables
    result = gradients(lambda: total_loss(half, inputs), variables)
    assert all(np.all(np.isfinite(gradient)) for gradient in result)


def test_fit_lowers_the_loss_and_reports_each_by_name():
    # Not one that tests share: its optimizer stays.
    model = UniSAR(SPEC, feature_tables(SPEC), **OPTIONS)
    assign_random(model)
    # Tracing a graph takes much longer than these few steps.
    model.compile(optimizer=keras.optimizers.Adam(0.01), run_eagerly=True)
    inputs = batch(SPEC, random_histories(SPEC, SIZES))

    def batches():
        while True:
            yield (inputs,)

    history = model.fit(batches(), steps_per_epoch=1, epochs=3, verbose=0).history
    names = {f"{task}_{name}" for task in TASKS for name in LOSSES}
    assert set(history) == {"loss", "click_loss", *names}
    for name in ("loss", "click_loss", "rec_click_loss", "search_click_loss"):
        assert history[name][-1] < history[name][0]
