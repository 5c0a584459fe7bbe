"""UniSAR on batches of other layouts, of which its outputs do not depend."""

import numpy as np
import pytest
from support.batches import SPEC, batch, histories_part, random_histories, take_rows
from support.gradients import gradients
from support.layer_weights import numpy
from support.unisar_case import (
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

from sar_tf.models import groups

TASKS = ("rec", "search")


@pytest.fixture
def case():
    """A model, histories of all kinds, and their batch."""
    model = small_model(**REFERENCE)
    assign_random(model)
    histories = random_histories(SPEC, SIZES)
    return model, histories, batch(SPEC, histories)


def assert_same_outputs(model, inputs, other_inputs, rtol=1e-5):
    expected = scores_of(model, inputs)
    for task, scores in scores_of(model, other_inputs).items():
        np.testing.assert_allclose(scores, expected[task], rtol=rtol)
    other = losses_of(model, other_inputs)
    assert other == pytest.approx(losses_of(model, inputs), rel=rtol)


def test_padding_changes_nothing(case):
    """Widths of 4 + 3 slots, and fewer; with 2 + 2 both directions are one call."""
    model, histories, inputs = case
    assert SIZES[1:5] == [(2, 1), (0, 3), (1, 2), (4, 0)]
    layout = [(1, 4, 3), (1, 2, 2), (2, 1, 3), (2, 4, 1)]
    trimmed = batch(SPEC, histories, layout)
    cut = groups.cut_histories(trimmed["history"], trims=True)
    assert [g.history["rec_items"].shape for g in cut] == [
        (1, 4),
        (1, 2),
        (2, 1),
        (2, 4),
    ]
    assert [g.history["search_words"].shape[1] for g in cut] == [3, 2, 3, 1]
    assert_same_outputs(model, inputs, trimmed)


def test_groups_change_nothing(case):
    model, histories, inputs = case
    grouped = batch(SPEC, histories, [(n, 4, 3) for n in (2, 3, 1)])
    assert_same_outputs(model, inputs, grouped)


def test_a_group_without_histories_changes_nothing(case):
    model, histories, inputs = case
    grouped = batch(SPEC, histories, [(0, 1, 1), (4, 4, 3), (0, 1, 1), (2, 4, 3)])
    assert_same_outputs(model, inputs, grouped)


@pytest.mark.parametrize("layout", [None, [(2, 4, 3), (4, 4, 3)]])
def test_histories_that_rows_share_give_what_copies_of_them_give(case, layout):
    """In any order, in both tasks, each with rows of its own."""
    model, histories, _ = case
    order = np.array([3, 0, 1, 4, 1, 5, 4, 2, 4], "int32")
    copied = batch(SPEC, [histories[i] for i in order])
    # The pairs are listed by target; histories without clicks at the end have none.
    shared = {
        "history": histories_part(SPEC, histories, layout),
        **{task: {**copied[task], "history_row": order} for task in TASKS},
    }
    assert_same_outputs(model, copied, shared)
    rows = np.array([7, 2, 5])
    for inputs in (copied, shared):
        inputs["rec"] = take_rows(inputs, rows)["rec"]
    assert_same_outputs(model, copied, shared)


def test_a_row_is_scored_as_if_alone(case):
    model, histories, inputs = case
    expected = scores_of(model, inputs)
    for row, history in enumerate(histories):
        alone = take_rows(inputs, np.array([row]))
        alone["history"] = histories_part(SPEC, [history])
        for task in TASKS:
            alone[task]["history_row"] = np.array([0], "int32")
        for task, scores in scores_of(model, alone).items():
            np.testing.assert_allclose(scores[0], expected[task][row], rtol=1e-5)


def test_a_candidate_is_scored_as_if_alone(case):
    model, _, inputs = case
    for task, scores in scores_of(model, inputs).items():
        for column in range(scores.shape[1]):
            candidates = inputs[task]["candidates"][:, column : column + 1]
            alone = {**inputs, task: {**inputs[task], "candidates": candidates}}
            found = numpy(model.score(task, alone))
            np.testing.assert_allclose(found[:, 0], scores[:, column], rtol=1e-5)


@pytest.mark.parametrize(
    ("task", "layout"), [("rec", [(2, 4, 3), (3, 4, 3), (1, 1, 1)]), ("search", None)]
)
def test_one_task_alone(case, task, layout):
    model, histories, _ = case
    inputs = batch(SPEC, histories, layout)
    outputs = model({"history": inputs["history"], task: inputs[task]})
    assert list(outputs) == [task]
    expected = numpy(model(inputs)[task]["scores"])
    np.testing.assert_allclose(numpy(outputs[task]["scores"]), expected, rtol=1e-5)
    np.testing.assert_allclose(numpy(model.score(task, inputs)), expected, rtol=1e-5)
    losses = {n: float(x) for n, x in model.losses_of(task, inputs).items()}
    both = {n: x for (t, n), x in losses_of(model, inputs).items() if t == task}
    assert losses == pytest.approx(both)


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


def test_losses_without_a_pair_or_a_history_are_zero(case):
    model, _, _ = case
    losses = losses_of(model, search_batch([[], []]))
    assert losses["search", "query_item_loss"] == 0
    assert losses["search", "transition_loss"] == 0
    assert losses["search", "click_loss"] > 0
