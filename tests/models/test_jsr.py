import dataclasses

import numpy as np
import pytest
from keras import ops
from support.batches import SPEC, batch, feature_tables, random_histories, take_rows
from support.gradients import gradients
from support.layer_weights import numpy, randomize
from support.search_case import changed, query_vectors

from sar_tf.models import JSR, get

OPTIONS = {
    "embedding_dim": 4,
    "hidden_dim": 6,
    "attention_units": (5,),
    "prediction_units": (8, 4),
}
# (recommendations, searches) of each history; SPEC holds at most (4, 3).
SIZES = [(4, 3), (2, 1), (0, 3), (1, 2), (4, 0), (0, 0)]
INPUTS = batch(SPEC, random_histories(SPEC, SIZES))


def small_model(**options):
    return randomize(JSR(SPEC, feature_tables(SPEC), **OPTIONS, **options))


def logits_of(model, task, inputs=INPUTS):
    scores = numpy(model.score(task, inputs)).astype("float64")
    return np.log(scores / (1 - scores))


def items_of(model, ids):
    return numpy(model.encode_items(ids))


def numpy_network(hidden, logit, x, activation):
    for i, dense in enumerate(hidden):
        x = activation(i, x @ numpy(dense.kernel) + numpy(dense.bias))
    return (x @ numpy(logit.kernel) + numpy(logit.bias))[..., 0]


def numpy_dice(dices):
    """A new model's moving mean is 0 and its moving variance 1."""

    def activation(i, s):
        p, alpha = 1 / (1 + np.exp(-s)), numpy(dices[i].alpha)
        return p * s + (1 - p) * alpha * s

    return activation


def test_registered_for_both_tasks():
    assert get("jsr") is JSR
    assert JSR.tasks == ("rec", "search")
    assert small_model().needs == ("rec_items", "query_words")


def test_recommendation_is_din_by_hand():
    """u(v) is a sum over the behaviors, without a softmax."""
    model = small_model()
    unit, head = model.activation_unit, model.rec_head
    expected = []
    for row, (length, _) in enumerate(SIZES):
        h = items_of(model, INPUTS["history"]["rec_items"][row, :length])
        for v in items_of(model, INPUTS["rec"]["candidates"][row]):
            u = np.zeros(6)
            for one in h:
                x = np.concatenate([v, one, v - one, v * one])
                dice = numpy_dice(unit.activations)
                u += numpy_network(unit.denses, unit.weight_dense, x, dice) * one
            x = np.concatenate([v, u])
            expected.append(
                numpy_network(head.hidden, head.logit, x, numpy_dice(head.dices))
            )
    expected = np.reshape(expected, (len(SIZES), -1))
    np.testing.assert_allclose(logits_of(model, "rec"), expected, atol=1e-4)


@pytest.mark.parametrize("search_input", ["hadamard", "concat"])
def test_search_is_a_network_by_hand(search_input):
    model = small_model(search_input=search_input)
    v = items_of(model, INPUTS["search"]["candidates"])
    q = np.broadcast_to(query_vectors(model)[:, None], v.shape)
    x = q * v
    if search_input == "concat":
        x = np.concatenate([q, v, q * v], axis=-1)
    head = model.search_head
    expected = numpy_network(head.hidden, head.logit, x, lambda _, s: np.maximum(s, 0))
    np.testing.assert_allclose(logits_of(model, "search"), expected, atol=1e-4)


def test_search_scores_are_the_same_for_all_users_and_histories():
    search = INPUTS["search"]
    same = {
        name: np.repeat(search[name][:1], len(SIZES), axis=0)
        for name in ("candidates", "query_words")
    }
    scores = numpy(small_model().score("search", changed(INPUTS, "search", **same)))
    np.testing.assert_allclose(scores, scores[:1].repeat(len(SIZES), 0), atol=1e-7)
    assert np.ptp(scores[0]) > 1e-3


def test_recommendation_does_not_see_searches():
    model, history = small_model(), INPUTS["history"]
    without = {
        name: np.zeros_like(x) for name, x in history.items() if "clicked" in name
    }
    result = numpy(model.score("rec", changed(INPUTS, "history", **without)))
    np.testing.assert_array_equal(result, numpy(model.score("rec", INPUTS)))


@pytest.mark.parametrize(
    ("task", "own", "others"),
    [("rec", "rec_head", "search_head"), ("search", "search_head", "rec_head")],
)
def test_a_tasks_loss_moves_its_tower_and_the_items(task, own, others):
    model = small_model()

    def is_moved(layer):
        result = gradients(
            lambda: model.losses_of(task, INPUTS)["click_loss"],
            layer.trainable_variables,
        )
        return any(np.any(gradient != 0) for gradient in result)

    assert is_moved(model.item_encoder.id_embedding)
    assert is_moved(getattr(model, own))
    assert not is_moved(getattr(model, others))
    assert is_moved(model.activation_unit) == (task == "rec")


def test_gamma_weighs_the_mean_of_the_search_task():
    """However many targets of search there are."""
    few = take_rows(INPUTS, np.array([0, 3]))
    inputs = {**INPUTS, "search": few["search"]}
    model = small_model(search_loss_weight=0.25)
    assert model.task_weights == {"rec": 1.0, "search": 0.25}
    losses = {
        task: float(model.losses_of(task, inputs)["click_loss"])
        for task in ("rec", "search")
    }
    other = small_model(search_loss_weight=0.25)
    other.compile("sgd")
    loss = other.train_on_batch(inputs, return_dict=True)["loss"]
    expected = losses["rec"] + 0.25 * losses["search"]
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_rows_that_are_no_targets_are_not_in_the_statistics():
    filled, alone = small_model(), small_model()
    is_target = np.array([True, True, False, True, False, False])
    filled.losses_of("rec", changed(INPUTS, "rec", is_target=is_target))
    alone.losses_of("rec", take_rows(INPUTS, is_target))
    for one, other in zip(
        filled.non_trainable_variables, alone.non_trainable_variables, strict=True
    ):
        if "moving" in one.path:
            np.testing.assert_allclose(numpy(one), numpy(other), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("task", ["rec", "search"])
def test_one_task_alone_has_its_tower_alone(task):
    """An item's caption has an encoder in both, whose weights are not compared."""
    model = small_model(tasks=(task,))
    inputs = {part: INPUTS[part] for part in ("history", task)}
    assert np.isfinite(numpy(model.score(task, inputs))).all()
    assert hasattr(model, "rec_head") == (task == "rec")
    assert hasattr(model, "search_head") == (task == "search")
    assert model.needs == {"rec": ("rec_items",), "search": ("query_words",)}[task]


def test_search_needs_words():
    spec = dataclasses.replace(SPEC, num_words=0, caption_length=0)
    with pytest.raises(ValueError, match="JSR finds items by the words of queries"):
        JSR(spec, feature_tables(spec), **OPTIONS)
    model = JSR(spec, feature_tables(spec), tasks=("rec",), **OPTIONS)
    assert float(ops.sum(model.score("rec", INPUTS))) > 0
