import numpy as np
import pytest
from support.batches import SPEC
from support.layer_weights import numpy
from support.unisar_case import REFERENCE, assign_random, random_state, small_model

from sar_tf.interop import unisar, weights
from sar_tf.interop.fixtures import Fixture, build_model

# Ours: theirs.
TASKS = {"rec": "rec", "search": "src"}
LOSSES = {
    "click_loss": "click_loss",
    "query_item_loss": "q_i_cl_loss",
    "transition_loss": "his_cl_loss",
}


@pytest.fixture(scope="module", params=["ids", "features"])
def golden(request, golden_dir):
    """What the official code gave, and the model with its weights and batch."""
    fixture = Fixture.load(golden_dir / f"unisar_{request.param}.npz")
    return fixture.outputs, *build_model(fixture)


@pytest.mark.parametrize("task", TASKS)
def test_scores_equal_the_official(golden, task):
    official, model, batch = golden
    scores = model.score(task, batch)
    expected = official[f"{TASKS[task]}_scores"]
    np.testing.assert_allclose(numpy(scores), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_losses_equal_the_official(golden, task):
    official, model, batch = golden
    losses = model.losses_of(task, batch)
    assert set(losses) == set(LOSSES)
    for name, value in losses.items():
        expected = float(official[f"{TASKS[task]}_{LOSSES[name]}"])
        assert float(value) == pytest.approx(expected, abs=1e-4), name
    # The official total of a task leaves its weight gamma out.
    outputs = model({"history": batch["history"], task: batch[task]}, training=True)
    total = float(model.compute_loss(y_pred=outputs)) / model.task_weights[task]
    expected = float(official[f"{TASKS[task]}_total_loss"])
    assert total == pytest.approx(expected, abs=1e-4)


@pytest.fixture
def case():
    """A model with random weights, and others under the official names."""
    model = small_model(**REFERENCE)
    assign_random(model)
    return model, random_state(SPEC, model.get_config(), seed=1)


def refused(model, state):
    """The lines of the error; no weight has changed."""
    before = [numpy(variable) for variable in model.variables]
    with pytest.raises(ValueError) as error:
        weights.assign(unisar.entries(model), state, unisar.IGNORED)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(numpy(variable), value, err_msg=variable.path)
    return str(error.value).splitlines()


def test_every_variable_is_mapped_once(case):
    model, _ = case
    mapped = [entry.variable.path for entry in unisar.entries(model)]
    assert sorted(mapped) == sorted(v.path for v in model.trainable_variables)


def test_all_missing_weights_are_listed(case):
    model, state = case
    names = ["rec_query", "src_fc_layer.fc.6.bias", "src_pos.pe.weight"]
    for name in names:
        del state[name]
    lines = refused(model, state)
    assert "3 problems" in lines[0]
    assert sorted(lines[1:]) == [f"  missing: {name}" for name in names]


def test_all_surplus_weights_are_listed(case):
    model, state = case
    state |= {"his_bias": np.zeros(2), "rec_query.other": np.zeros(1)}
    lines = refused(model, state)
    assert lines[1:] == ["  surplus: his_bias", "  surplus: rec_query.other"]


def test_all_shapes_that_do_not_fit_are_listed(case):
    model, state = case
    state["rec_query"] = np.zeros((1, 7))
    state["query_embedding.query_trans.weight"] = np.zeros((4, 8))
    state["ple_layer.share_experts.0.0.mlp.0.weight"] = np.zeros((6, 39))
    lines = refused(model, state)
    assert "3 problems" in lines[0]
    assert "  shape of rec_query: (1, 7), but the model has (1, 8)" in lines
    text = "\n".join(lines)
    assert "shape of query_embedding.query_trans.weight: (8, 4)" in text
    assert "ple_layer.share_experts.0.0.mlp.0.weight" in text


def test_a_flat_shape_for_a_square_one_is_a_problem_and_no_crash(case):
    model, state = case
    state["rec_his_attn_pooling.W"] = np.zeros((8, 8))
    lines = refused(model, state)
    assert "rec_his_attn_pooling.W" in lines[1]


def test_problems_of_all_kinds_are_listed_together(case):
    model, state = case
    del state["rec_query"]
    state["surplus"] = np.zeros(1)
    state["rec_pos.pe.weight"] = np.zeros((1, 1))
    assert len(refused(model, state)) == 1 + 3


@pytest.mark.parametrize(
    "name",
    [
        "rec_transformer.transformerEncoderLayer.linear1.weight",
        "transformerDecoderLayer.norm1.bias",
        "ple_layer.share_gates.0.weight",
        "session_embedding.item_feat.caption_id_emb.weight",
        "session_embedding.query_feat.query_trans.weight",
    ],
)
def test_unused_copies_are_ignored(case, name):
    model, state = case
    state[name] = np.zeros(3)
    weights.assign(unisar.entries(model), state, unisar.IGNORED)
    np.testing.assert_allclose(numpy(model.rec_query), state["rec_query"], rtol=1e-6)
