"""UniSAR's Table 5: each module left out, against the equations in NumPy."""

import re
import typing

import numpy as np
import pytest
from support.batches import SPEC, batch, feature_tables, random_histories
from support.gradients import gradients
from support.layer_weights import numpy
from support.numpy_unisar import NumpyUniSAR
from support.unisar_case import (
    REFERENCE,
    SIZES,
    assign_random,
    losses_of,
    scores_of,
    small_model,
    total_loss,
)

from sar_tf.models.unisar_transitions import Without

TASKS = ("rec", "search")
MODULES = [name for name in typing.get_args(Without) if name != "nothing"]
# The scenario, and the place of the transition that is replaced: (same, cross).
REPLACED = {"r2r": ("rec", 0), "s2r": ("rec", 1), "s2s": ("search", 0)}
REPLACED["r2s"] = ("search", 1)
NO_FUSION = {"MCA_r": "rec", "MCA_s": "search"}


class NumpyWithout(NumpyUniSAR):
    """The whole model's equations but for one module."""

    def __init__(self, without, model, *arguments):
        super().__init__(*arguments)
        self.without, self.model = without, model

    def mixed_pairs(self, types):
        if self.without == "mask":
            return np.ones((len(types), len(types)), bool)
        return super().mixed_pairs(types)

    def transitions(self, history):
        found = super().transitions(history)
        if self.without in REPLACED:
            scenario, place = REPLACED[self.without]
            found[scenario] = (found[scenario][1 - place],) * 2
        return found

    def fused(self, history):
        found = super().fused(history)
        if scenario := NO_FUSION.get(self.without):
            same, cross = self.transitions(history)[scenario]
            found[scenario] = same + cross
        return found

    def logit(self, task, vector):
        if self.without != "MMoE":
            return super().logit(task, vector)
        network = self.model.prediction[task]
        for dense in network.hidden:
            vector = np.maximum(vector @ numpy(dense.kernel) + numpy(dense.bias), 0)
        return (vector @ numpy(network.logit.kernel) + numpy(network.logit.bias))[0]

    def losses(self, task, histories, inputs):
        found = super().losses(task, histories, inputs)
        if self.without == "L_Align":
            del found["transition_loss"]
        if self.without == "L_Rel":
            del found["query_item_loss"]
        if self.without in REPLACED:
            gone, _ = REPLACED[self.without]
            found["transition_loss"] = self._transition_loss(
                histories, [scenario for scenario in TASKS if scenario != gone]
            )
        return found


def by_name(model):
    """Variables by path, without the numbers that Keras counts up in a process."""
    found = {}
    for variable in model.trainable_variables:
        path = re.sub(r"_\d+(?=/)", "", variable.path.partition("/")[2])
        number = sum(name == path for name, _ in found)
        found[path, number] = variable
    return found


def model_without(without):
    """The model with the whole model's weights, and what NumPy computes of them."""
    whole = small_model(**REFERENCE)
    state = assign_random(whole)
    model = small_model(**REFERENCE, without=without)
    weights = by_name(whole)
    for name, variable in by_name(model).items():
        if name in weights and weights[name].shape == variable.shape:
            variable.assign(weights[name])
    arguments = (state, feature_tables(SPEC), 2, "reference", "reference")
    return whole, model, NumpyWithout(without, model, *arguments)


@pytest.mark.parametrize("without", MODULES)
def test_each_row_of_table_5_equals_the_equations(without):
    whole, model, expected = model_without(without)
    histories = random_histories(SPEC, SIZES)
    inputs = batch(SPEC, histories)
    before = scores_of(whole, inputs), losses_of(whole, inputs)
    losses = losses_of(model, inputs)
    for task, scores in scores_of(model, inputs).items():
        np.testing.assert_allclose(
            scores, expected.scores(task, histories, inputs[task]), atol=1e-5
        )
        # The module made a difference, in what is scored or in what is learned.
        is_loss = without.startswith("L_")
        assert np.allclose(scores, before[0][task], atol=1e-4) == is_loss
        values = expected.losses(task, histories, inputs[task])
        assert {name for t, name in losses if t == task} == values.keys()
        for name, value in values.items():
            assert losses[task, name] == pytest.approx(value, abs=1e-4), name
    assert losses.keys() <= before[1].keys() and losses != before[1]


@pytest.mark.parametrize("without", ["r2r", "MCA_s", "MMoE"])
def test_what_is_left_out_has_no_weights(without):
    _, model, _ = model_without(without)
    inputs = batch(SPEC, random_histories(SPEC, SIZES))
    variables = model.trainable_variables
    result = gradients(lambda: total_loss(model, inputs), variables)
    unused = [v.path for v, g in zip(variables, result, strict=True) if not np.any(g)]
    assert unused == []


def test_without_joint_training_is_two_models_of_one_task():
    for task in TASKS:
        model = small_model(tasks=(task,), without="MMoE")
        inputs = batch(SPEC, random_histories(SPEC, SIZES))
        assert scores_of(model, inputs).keys() == {task}
        assert model.experts is None and model.prediction.keys() == {task}
