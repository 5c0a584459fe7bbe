"""What holds for every model, whatever it computes."""

import functools

import keras
import numpy as np
import pytest
from keras import ops
from support.batches import SPEC, batch, feature_tables, random_histories
from support.gradients import gradients
from support.layer_weights import numpy, randomize
from support.small_models import OPTIONS

from sar_tf import models
from sar_tf.inputs import INPUTS
from sar_tf.models.ids import KIND_OF_ID

# (recommendations, searches) of each history; SPEC holds at most (4, 3).
SIZES = [(4, 3), (2, 1), (0, 3), (1, 2), (4, 0), (0, 0)]
CASES = [
    pytest.param(name, task, id=f"{name}-{task}")
    for name in models.names()
    for task in models.get(name).tasks
]


@functools.cache
def small_model(name, **options):
    """A model with random weights, of a size that keeps its scores apart."""
    model = models.get(name)(SPEC, feature_tables(SPEC), **OPTIONS[name], **options)
    return randomize(model, scale=0.6)


def inputs_of(sizes=SIZES, **options):
    return batch(SPEC, random_histories(SPEC, sizes), **options)


def scores_of(model, task, inputs):
    return numpy(model.score(task, inputs))


@functools.cache
def usual_scores(name, task):
    """Scores of `inputs_of()` before any training step, which may move statistics."""
    return scores_of(small_model(name), task, inputs_of())


def with_task(inputs, task, **arrays):
    return {**inputs, task: {**inputs[task], **arrays}}


def with_columns(inputs, task, columns):
    """The inputs with some of the candidates, and with what belongs to them."""
    arrays = {
        name: x[:, columns]
        for name, x in inputs[task].items()
        if "C" in INPUTS[name].axes
    }
    return with_task(inputs, task, **arrays)


def test_every_model_is_tested():
    assert sorted(OPTIONS) == models.names()


@pytest.mark.parametrize(("name", "task"), CASES)
def test_permuted_candidates_have_permuted_scores(name, task):
    order, expected = [2, 0, 1], usual_scores(name, task)
    permuted = with_columns(inputs_of(), task, order)
    result = scores_of(small_model(name), task, permuted)
    np.testing.assert_allclose(result, expected[:, order], atol=1e-6)
    assert np.ptp(expected, axis=1).max() > 1e-3


@pytest.mark.parametrize(("name", "task"), CASES)
def test_a_score_does_not_depend_on_other_candidates(name, task):
    """Many candidates, so that a model that scores some at a time does so."""
    model, inputs = small_model(name), inputs_of(num_candidates=45)
    expected = scores_of(model, task, inputs)
    for column in (0, 44):
        alone = with_columns(inputs, task, [column])
        result = scores_of(model, task, alone)
        np.testing.assert_allclose(result, expected[:, column : column + 1], atol=1e-6)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_the_content_of_empty_slots_does_not_matter(name, task):
    model, inputs = small_model(name), inputs_of()
    history = dict(inputs["history"])
    for mask, owned in (
        (history["rec_items"] > 0, ["rec_positions"]),
        (
            history["search_mask"],
            ["search_positions", "search_queries", "search_words", "search_sources"],
        ),
    ):
        for array in owned:
            x = history[array]
            kept = mask.reshape(*mask.shape, *[1] * (x.ndim - 2))
            history[array] = np.where(kept, x, 1).astype(x.dtype)
    result = scores_of(model, task, {**inputs, "history": history})
    np.testing.assert_allclose(result, usual_scores(name, task), atol=1e-6)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_padding_changes_nothing(name, task):
    """Full width, and as few slots as each group of histories needs."""
    model = small_model(name)
    groups = [(1, 4, 3), (1, 2, 1), (2, 1, 3), (1, 4, 1), (1, 1, 1)]
    result = scores_of(model, task, inputs_of(groups=groups))
    np.testing.assert_allclose(result, usual_scores(name, task), atol=1e-6)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_more_padding_changes_nothing(name, task):
    """Rows with two more slots, where a model is not made for a number of them."""
    if name in ("fmlp_rec", "sesrec", "unisar"):
        pytest.skip("its positions or filters have as many slots as the dataset")
    model, inputs = small_model(name), inputs_of()
    history = {
        entry: np.pad(x, ((0, 0), (0, 2), *[(0, 0)] * (x.ndim - 2)))
        if INPUTS[entry].part == "history"
        else x
        for entry, x in inputs["history"].items()
    }
    inputs = {**inputs, "history": history}
    result = scores_of(model, task, inputs)
    np.testing.assert_allclose(result, usual_scores(name, task), atol=1e-6)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_empty_histories_have_finite_scores_and_gradients(name, task):
    model, inputs = small_model(name), inputs_of([(0, 0)] * 3)
    assert np.all(np.isfinite(scores_of(model, task, inputs)))
    result = gradients(
        lambda: sum(ops.sum(x) for x in model.losses_of(task, inputs).values()),
        model.trainable_variables,
    )
    assert all(np.all(np.isfinite(gradient)) for gradient in result)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_bfloat16_agrees_to_two_digits(name, task):
    half = small_model(name, dtype="mixed_bfloat16")
    assert all(v.dtype == "float32" for v in half.trainable_variables)
    result = scores_of(half, task, inputs_of())
    np.testing.assert_allclose(result, usual_scores(name, task), atol=0.02)


@pytest.mark.parametrize("name", sorted(OPTIONS.keys() - {"sesrec", "unisar"}))
def test_a_saved_file_gives_the_model_back(name, tmp_path):
    """UniSAR and SESRec are in test_saving.py."""
    model, inputs = small_model(name), inputs_of()
    model.save(tmp_path / "model.keras")
    copy = keras.models.load_model(tmp_path / "model.keras")
    assert copy.get_config() == model.get_config()
    for task in model.tasks:
        expected = scores_of(model, task, inputs)
        np.testing.assert_array_equal(scores_of(copy, task, inputs), expected)


@pytest.mark.parametrize("name", sorted(OPTIONS.keys() - {"sesrec", "unisar"}))
def test_one_batch_can_be_learned_by_heart(name):
    """UniSAR and SESRec have tests of learning of their own, in several groups."""
    keras.utils.set_random_seed(1)
    options = dict(OPTIONS[name])
    if "num_blocks" in models.get(name).hyperparameters():
        options["num_blocks"] = 1
    model = models.get(name)(SPEC, feature_tables(SPEC), **options)
    items = np.random.default_rng(0).permutation(SPEC.num_items) + 1
    inputs = inputs_of([(4, 3), (2, 1), (3, 3), (1, 2)])
    candidates = items[:12].reshape(4, 3).astype("int32")
    for task in model.tasks:
        inputs = with_task(inputs, task, candidates=candidates)
    inputs = {part: inputs[part] for part in ("history", *model.tasks)}
    model.compile(keras.optimizers.Adam(0.05))
    model.optimizer.build(model.trainable_variables)  # Else its step is traced twice.
    for _ in range(60):
        model.train_on_batch(inputs)
    for task in model.tasks:
        # It is 0.69 at the start. HEM's text loss pulls the other way.
        assert float(model.losses_of(task, inputs)["click_loss"]) < 0.1


@pytest.mark.parametrize(("name", "task"), CASES)
def test_unknown_ids_are_read_as_0(name, task):
    """On a CPU a look-up above the table is an error, and -1 its last row."""
    model, inputs = small_model(name), inputs_of()

    def scores_with(number):
        changed = {part: dict(arrays) for part, arrays in inputs.items()}
        for arrays in changed.values():
            for entry in arrays.keys() & KIND_OF_ID.keys():
                arrays[entry] = arrays[entry].copy()
                arrays[entry].reshape(-1)[::7] = number
        return scores_of(model, task, changed)

    expected = scores_with(0)
    assert not np.array_equal(expected, scores_of(model, task, inputs))
    for number in (-1, 10**9):
        np.testing.assert_array_equal(scores_with(number), expected)


def test_every_input_of_ids_is_known():
    others = {"history_row", "group_ends", "rec_widths", "search_widths"}
    others |= {"rec_sessions", "search_sessions"}
    ids = {name for name, entry in INPUTS.items() if entry.dtype == "int32"}
    assert KIND_OF_ID.keys() == ids - others
