import dataclasses

import keras
import numpy as np
import pytest
from batches import SPEC, batch, feature_tables, random_histories
from gradients import gradients
from layer_weights import numpy
from numpy_unisar import NumpyUniSAR
from unisar_case import OPTIONS, SIZES, assign_random, build, small_model

from sar_tf.models import UniSAR

TASKS = ("rec", "search")
LOSSES = ("click_loss", "query_item_loss", "transition_loss")
REFERENCE = {
    "num_layers": 1,
    "fusion": "reference",
    "transition_negatives": "reference",
}
PAPER = {"fusion": "paper", "mmoe_head": "paper", "transition_negatives": "paper"}


@pytest.fixture
def case():
    """A model, histories of all kinds, and their batch."""
    model = small_model(**REFERENCE)
    assign_random(model)
    histories = random_histories(SPEC, SIZES)
    return model, histories, search_batch(histories)


@pytest.fixture(scope="module")
def copy():
    """A model made from the config of another, its weights its own."""
    config = keras.saving.serialize_keras_object(small_model(**REFERENCE))
    return build(keras.saving.deserialize_keras_object(config))


@pytest.fixture(scope="module")
def bfloat16():
    """A model in mixed precision."""
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        return build(UniSAR(SPEC, **OPTIONS))
    finally:
        keras.mixed_precision.set_dtype_policy(before)


def search_batch(histories, groups=None):
    """Of the search task alone, where the other takes the same way."""
    return {"search": batch(SPEC, histories, groups)["search"]}


def scores_of(model, inputs):
    return {task: numpy(model(inputs)[task]["scores"]) for task in inputs}


def losses_of(model, inputs):
    return {
        (task, name): float(value)
        for task, losses in model(inputs, training=True).items()
        for name, value in losses.items()
    }


def total_loss(model, inputs):
    return model.compute_loss(y_pred=model(inputs, training=True))


def assert_same_outputs(model, inputs, other_model, other_inputs, rtol=1e-5):
    expected = scores_of(model, inputs)
    for task, scores in scores_of(other_model, other_inputs).items():
        np.testing.assert_allclose(scores, expected[task], rtol=rtol)
    other = losses_of(other_model, other_inputs)
    assert other == pytest.approx(losses_of(model, inputs), rel=rtol)


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
        assert np.all(np.ptp(scores, axis=1) > 1e-4)  # and so do candidates
    losses = losses_of(model, inputs)
    for task in TASKS:
        for name, value in expected.losses(task, histories, inputs[task]).items():
            assert losses[task, name] == pytest.approx(value, abs=1e-4), (task, name)


def test_counted_pairs_give_the_loss_of_all_slots(case):
    """As the input pipeline counts them: (words, item) and how often it occurs."""
    model, _, inputs = case
    (history,) = inputs["search"]["history"]
    clicked = history["clicked_items"]
    words = np.repeat(history["search_words"][:, :, None], clicked.shape[2], axis=2)
    slots = np.concatenate([words, clicked[..., None]], axis=-1)[clicked > 0]
    pairs, counts = np.unique(slots, axis=0, return_counts=True)
    counted = {
        "query_words": pairs[:, :-1],
        "items": pairs[:, -1],
        "counts": counts.astype("float32"),
    }
    distinct = {"search": {**inputs["search"], "pairs": counted}}
    assert losses_of(model, distinct) == pytest.approx(losses_of(model, inputs))


def test_ids_alone():
    """Without features and captions, as on the Amazon data."""
    spec = dataclasses.replace(
        SPEC, user_features={}, item_features={}, caption_length=0
    )
    model = build(UniSAR(spec, **OPTIONS))
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


def test_padding_changes_nothing(case):
    """Widths of 4 + 3 slots, and of as few as each group needs."""
    model, histories, inputs = case
    assert SIZES[1:5] == [(2, 1), (0, 3), (1, 2), (4, 0)]
    groups = [(1, 4, 3), (1, 2, 1), (2, 1, 3), (2, 4, 1)]
    trimmed = search_batch(histories, groups)
    assert trimmed["search"]["history"][1]["rec_items"].shape == (1, 2)
    assert_same_outputs(model, inputs, model, trimmed)


def test_groups_change_nothing(case):
    model, histories, inputs = case
    grouped = search_batch(histories, [(n, None, None) for n in (2, 3, 1)])
    assert_same_outputs(model, inputs, model, grouped)


def test_histories_that_tasks_share_give_what_copies_of_them_give(case):
    """The rows [0, 1, 1] and [2, 3, 4, 5, 4, 4] of two groups, in both tasks."""
    model, histories, _ = case
    rows = [np.array([0, 1, 1], "int32"), np.array([0, 1, 2, 3, 2, 2], "int32")]
    order = [*rows[0], *(rows[1] + 2)]
    copied = batch(SPEC, [histories[i] for i in order])
    shared = {
        "rec": {**copied["rec"], "history_rows": rows},
        "search": {**copied["search"], "history_rows": rows},
    }
    groups = [(2, None, None), (4, None, None)]
    shared["rec"]["history"] = batch(SPEC, histories, groups)["rec"]["history"]
    del shared["search"]["history"]
    assert_same_outputs(model, copied, model, shared)


def test_a_row_is_scored_as_if_alone(case):
    model, histories, inputs = case
    expected = scores_of(model, inputs)
    for row, history in enumerate(histories):
        alone = search_batch([history])
        for task, arrays in alone.items():
            for name in {"user", "candidates", "query", "query_words"} & set(arrays):
                arrays[name] = inputs[task][name][row : row + 1]
        for task, scores in scores_of(model, alone).items():
            np.testing.assert_allclose(scores[0], expected[task][row], rtol=1e-5)


def test_a_candidate_is_scored_as_if_alone(case):
    model, _, inputs = case
    for task, scores in scores_of(model, inputs).items():
        for column in range(scores.shape[1]):
            candidates = inputs[task]["candidates"][:, column : column + 1]
            alone = model.score(task, {**inputs[task], "candidates": candidates})
            np.testing.assert_allclose(numpy(alone)[:, 0], scores[:, column], rtol=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_one_task_alone(case, task):
    model, histories, _ = case
    inputs = batch(SPEC, histories)
    outputs = model({task: inputs[task]})
    assert list(outputs) == [task]
    scores = numpy(model(inputs)[task]["scores"])
    np.testing.assert_allclose(numpy(outputs[task]["scores"]), scores, rtol=1e-5)
    np.testing.assert_allclose(
        numpy(model.score(task, inputs[task])), scores, rtol=1e-5
    )


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


EMPTY = {
    "no_rec": [(0, 3), (0, 1)],
    "no_search": [(4, 0), (1, 0)],
    "all_kinds": SIZES,
    "all_rows_empty": [(0, 0), (0, 0)],
    "one_row": [(2, 2)],
    "no_rows": [],
}


@pytest.mark.parametrize("variant", [REFERENCE, PAPER], ids=["reference", "paper"])
@pytest.mark.parametrize("sizes", EMPTY.values(), ids=EMPTY.keys())
def test_empty_histories_give_finite_numbers(variant, sizes):
    model = small_model(**variant)
    inputs = search_batch(random_histories(SPEC, sizes))
    scores = numpy(model(inputs)["search"]["scores"])
    assert scores.shape == (len(sizes), 3)
    assert np.all((scores > 0) & (scores < 1))
    variables = model.trainable_variables
    result = gradients(lambda: total_loss(model, inputs), variables)
    for variable, gradient in zip(variables, result, strict=True):
        assert np.all(np.isfinite(gradient)), variable.path


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


def test_losses_without_a_pair_or_a_history_are_zero(case):
    model, _, _ = case
    losses = losses_of(model, search_batch([[], []]))
    assert losses["search", "query_item_loss"] == 0
    assert losses["search", "transition_loss"] == 0
    assert losses["search", "click_loss"] > 0


def test_total_loss_is_weighted_by_alpha_beta_and_gamma():
    """Eq. 11 and 12 without the L2 term."""
    alpha, beta, gamma = 0.3, 0.7, 0.2
    model = UniSAR(
        SPEC,
        query_item_weight=alpha,
        transition_weight=beta,
        search_loss_weight=gamma,
    )
    losses = {
        "rec": dict(zip(LOSSES, (1.0, 2.0, 3.0), strict=True)),
        "search": dict(zip(LOSSES, (5.0, 7.0, 11.0), strict=True)),
    }
    expected = 1 + alpha * 2 + beta * 3 + gamma * (5 + alpha * 7 + beta * 11)
    assert float(model.compute_loss(y_pred=losses)) == pytest.approx(expected)
    results = {n: float(v) for n, v in model.get_metrics_result().items()}
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


def test_config_round_trip(case, copy):
    model, _, inputs = case
    assert isinstance(copy, UniSAR)
    assert copy.data_spec == model.data_spec
    assert copy.loss_weights == model.loss_weights
    copy.set_weights(model.get_weights())
    assert_same_outputs(model, inputs, copy, inputs, rtol=1e-6)


def test_from_config_of_get_config():
    model = UniSAR(SPEC, **OPTIONS | PAPER | {"num_layers": 2, "dropout": 0.3})
    copy = UniSAR.from_config(model.get_config())
    assert copy.get_config() == model.get_config()


def test_weights_are_saved_and_loaded(case, copy, tmp_path):
    model, _, inputs = case
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    assign_random(copy, seed=1)
    assert not np.allclose(
        scores_of(copy, inputs)["search"], scores_of(model, inputs)["search"]
    )
    copy.load_weights(path)
    assert_same_outputs(model, inputs, copy, inputs, rtol=1e-6)


def test_variables_have_names_of_their_own(case):
    paths = [variable.path for variable in case[0].variables]
    assert len(set(paths)) == len(paths)


def test_mixed_bfloat16(case, bfloat16):
    model, _, inputs = case
    assign_random(bfloat16)
    assert {v.dtype for v in bfloat16.trainable_variables} == {"float32"}
    expected = scores_of(model, inputs)
    for task, outputs in bfloat16(inputs).items():
        np.testing.assert_allclose(numpy(outputs["scores"]), expected[task], atol=0.03)
        for value in outputs.values():
            assert keras.backend.standardize_dtype(value.dtype) == "float32"
    expected = losses_of(model, inputs)
    for task, losses in bfloat16(inputs, training=True).items():
        for name, value in losses.items():
            assert keras.backend.standardize_dtype(value.dtype) == "float32"
            assert float(value) == pytest.approx(expected[task, name], rel=0.1), name


def test_mixed_bfloat16_gradients_are_finite(case, bfloat16):
    _, _, inputs = case
    variables = bfloat16.trainable_variables
    result = gradients(lambda: total_loss(bfloat16, inputs), variables)
    assert all(np.all(np.isfinite(gradient)) for gradient in result)


def test_fit_lowers_the_loss_and_reports_each_by_name(copy):
    assign_random(copy)
    # Tracing a graph takes much longer than these few steps.
    copy.compile(optimizer=keras.optimizers.Adam(0.01), run_eagerly=True)
    inputs = batch(SPEC, random_histories(SPEC, SIZES))

    def batches():
        while True:
            yield (inputs,)

    history = copy.fit(batches(), steps_per_epoch=1, epochs=3, verbose=0).history
    assert {f"{task}_{name}" for task in TASKS for name in LOSSES} <= set(history)
    for name in ("loss", "rec_click_loss", "search_click_loss"):
        assert history[name][-1] < history[name][0]


def test_hyperparameters_are_those_of_the_constructor():
    hyperparameters = UniSAR.hyperparameters()
    assert hyperparameters["num_experts"] == 4
    assert {hyperparameters[n] for n in ("fusion", "mmoe_head")} == {"reference"}
    assert hyperparameters["transition_negatives"] == "reference"
    assert "data_spec" not in hyperparameters
    config = UniSAR(SPEC).get_config()
    assert {n: config[n] for n in hyperparameters} == hyperparameters


@pytest.mark.parametrize("name", ["fusion", "mmoe_head", "transition_negatives"])
def test_unknown_variants_are_named(name):
    with pytest.raises(ValueError, match="not 'official'"):
        UniSAR(SPEC, **{name: "official"})
