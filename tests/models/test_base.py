import math

import keras
import numpy as np
import pytest
from support.batches import SPEC, batch, feature_tables, random_histories, take_rows
from support.layer_weights import numpy
from support.tiny_model import Given, Tiny, give, given, tiny

from sar_tf.models import Model, SESRec, UniSAR

SIZES = [(4, 3), (2, 1), (0, 3), (1, 2), (4, 0), (0, 0)]


def logits(*probabilities):
    x = np.array(probabilities, "float32")
    return np.log(x / (1 - x))


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ([[0.5, 0.5]], [math.log(2)]),
        ([[0.8, 0.1, 0.4]], [-(math.log(0.8 * 0.9 * 0.6)) / 3]),
        (
            [[0.9, 0.2], [0.3, 0.6]],
            [-(math.log(0.9 * 0.8)) / 2, -(math.log(0.3 * 0.4)) / 2],
        ),
        ([[0.25]], [-math.log(0.25)]),
    ],
)
def test_main_loss(probabilities, expected):
    losses = numpy(given().main_loss(logits(*probabilities)))
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_main_loss_of_extreme_logits_is_finite():
    losses = given().main_loss(np.array([[-200.0, 300.0], [200.0, -300.0]]))
    np.testing.assert_allclose(numpy(losses), [250, 0], atol=1e-6)


def test_rows_that_only_fill_up_a_batch_cost_nothing():
    model = given()
    filled = logits([0.8, 0.1], [0.5, 0.5], [0.4, 0.2])
    inputs = give(model, is_target=[True, False, True], rec=filled)
    expected = -math.log(0.8 * 0.9 * 0.4 * 0.8) / 4
    losses = model.losses_of("rec", inputs)
    assert float(losses["click_loss"]) == pytest.approx(expected, rel=1e-5)


def test_the_loss_of_no_rows_is_zero():
    model = given()
    inputs = give(model, rec=np.zeros((0, 5)))
    assert float(model.losses_of("rec", inputs)["click_loss"]) == 0
    assert numpy(model.score("rec", inputs)).shape == (0, 5)


def test_the_loss_is_float32_in_mixed_precision():
    model = tiny(dtype="mixed_bfloat16")
    assert keras.config.dtype_policy().name == "float32"
    assert model.item_encoder.dtype_policy.name == "mixed_bfloat16"
    inputs = batch(SPEC, random_histories(SPEC, SIZES))
    outputs = model(inputs)["rec"]
    assert keras.backend.standardize_dtype(outputs["scores"].dtype) == "float32"
    for loss in model.losses_of("rec", inputs).values():
        assert keras.backend.standardize_dtype(loss.dtype) == "float32"


def test_scores_in_inference_and_losses_in_training():
    model = given()
    inputs = give(model, rec=logits([0.8, 0.1, 0.4]))
    loss = -(math.log(0.8 * 0.9 * 0.6)) / 3
    outputs = model(inputs)["rec"]
    np.testing.assert_allclose(numpy(outputs["scores"]), [[0.8, 0.1, 0.4]], rtol=1e-5)
    (((values, weights),),) = outputs["losses"].values()
    assert float(values[0]) == pytest.approx(loss)
    assert float(weights[0]) == 1
    outputs = model(inputs, training=True)["rec"]
    (((values, _),),) = outputs.pop("losses").values()
    assert float(values[0]) == pytest.approx(loss)
    assert outputs == {}


def outputs_of(values, weights=(1.0,)):
    return {"losses": {"click_loss": ((np.array(values), np.array(weights)),)}}


def test_losses_are_weighted_by_task_and_averaged_over_batches():
    model = given(search_weight=0.25)
    for rec, search in ((1.0, 4.0), (3.0, 8.0)):
        outputs = {"rec": outputs_of([rec]), "search": outputs_of([search])}
        total = model.compute_loss(y_pred=outputs)
        assert float(total) == pytest.approx(rec + 0.25 * search)
    results = {name: float(value) for name, value in model.get_metrics_result().items()}
    assert results == {
        "loss": 2 + 0.25 * 6,
        "click_loss": 2 + 0.25 * 6,
        "rec_click_loss": 2,
        "search_click_loss": 6,
    }


def test_a_step_without_rows_of_a_task_leaves_its_mean_alone():
    model = given()
    for search in (outputs_of([4.0]), outputs_of([], []), outputs_of([9.0], [0.0])):
        model.compute_loss(y_pred={"rec": outputs_of([1.0]), "search": search})
    results = model.get_metrics_result()
    assert float(results["search_click_loss"]) == 4
    assert float(results["loss"]) == pytest.approx(1 + 0.5 * 4)


def test_ranking_metrics_see_the_scores():
    model = given()
    rows = logits([0.8, 0.1], [0.3, 0.4], [0.7, 0.9])
    inputs = give(model, is_target=[True, True, False], rec=rows)
    model._evaluating = True
    results = model.compute_metrics(inputs, None, model(inputs))
    assert float(results["rec_HR@1"]) == pytest.approx(1 / 2)
    assert float(results["rec_MRR"]) == pytest.approx(3 / 4)


class Pairwise(Given):
    """BPR instead of the binary cross-entropy."""

    def main_loss(self, logits):
        margins = logits[:, :1] - logits[:, 1:]
        return keras.ops.mean(keras.ops.softplus(-margins), axis=1)


def test_another_main_loss():
    """-log sigmoid(s+ - s-), the mean of a target's negatives."""
    model = Pairwise(SPEC)
    inputs = give(model, rec=[[2.0, 1.0, 4.0], [0.0, 0.0, -1.0]])
    rows = [
        (math.log1p(math.exp(-1)) + math.log1p(math.exp(2))) / 2,
        (math.log(2) + math.log1p(math.exp(-1))) / 2,
    ]
    found = float(model.losses_of("rec", inputs)["click_loss"])
    assert found == pytest.approx(sum(rows) / 2, rel=1e-6)


class WithLosses(Tiny):
    """Two more losses, one of them the sum of two means."""

    def __init__(self, spec, tables=None, **kwargs):
        super().__init__(spec, tables, **kwargs)
        self.loss_weights |= {"counted_loss": 0.5, "summed_loss": 2.0}

    def losses(self, task, rows, inputs):
        ones = keras.ops.ones_like(rows["vector"][:, 0])
        return {
            "counted_loss": (np.array([1.0, 4.0]), np.array([3.0, 1.0])),
            "summed_loss": [(ones, inputs["is_target"]), (3.0 * ones, ones)],
        }


def test_losses_are_reduced_to_means_by_their_weights():
    model = WithLosses(SPEC, feature_tables(SPEC))
    inputs = batch(SPEC, random_histories(SPEC, SIZES))
    inputs["rec"]["is_target"] = np.arange(6) < 2
    losses = {n: float(x) for n, x in model.losses_of("rec", inputs).items()}
    assert losses["counted_loss"] == pytest.approx((3 * 1 + 4) / 4)
    assert losses["summed_loss"] == pytest.approx(1 + 3)
    total = model.compute_loss(y_pred=model(_only("rec", inputs), training=True))
    expected = losses["click_loss"] + 0.5 * 7 / 4 + 2.0 * 4
    assert float(total) == pytest.approx(expected, rel=1e-6)


def _only(task, inputs):
    return {"history": inputs["history"], task: inputs[task]}


LAYOUTS = [
    [(6, 4, 3)],
    [(1, 4, 3), (1, 2, 1), (2, 1, 3), (2, 4, 1)],
    [(0, 1, 1), (6, 4, 3)],
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_groups_and_the_order_of_rows_change_nothing(layout):
    """Scores and losses are those of each row alone, in the batch's order."""
    model = tiny()
    histories = random_histories(SPEC, SIZES)
    whole = batch(SPEC, histories)
    grouped = batch(SPEC, histories, layout)
    rows = np.array([5, 0, 3, 1, 3, 4])
    grouped["rec"] = take_rows(grouped, rows)["rec"]
    scores, losses = [], []
    for row in rows:
        alone = take_rows(whole, np.array([row]))
        scores.append(numpy(model.score("rec", alone))[0])
        losses.append(float(model.losses_of("rec", alone)["click_loss"]))
    assert np.all(np.ptp(scores, axis=0) > 0.01)
    np.testing.assert_allclose(numpy(model.score("rec", grouped)), scores, rtol=1e-5)
    found = float(model.losses_of("rec", grouped)["click_loss"])
    assert found == pytest.approx(np.mean(losses), rel=1e-5)


def test_without_history_row_row_b_reads_history_b():
    model = tiny()
    inputs = _only("rec", batch(SPEC, random_histories(SPEC, SIZES)))
    expected = numpy(model.score("rec", inputs))
    np.testing.assert_array_equal(inputs["rec"].pop("history_row"), np.arange(6))
    np.testing.assert_array_equal(numpy(model.score("rec", inputs)), expected)


def test_targets_are_encoded_by_what_the_model_has():
    seen = {}

    class Spy(Tiny):
        def vector(self, task, encoded, target, training):
            seen[task] = target
            return super().vector(task, encoded, target, training)

    model = Spy(SPEC, feature_tables(SPEC))
    inputs = batch(SPEC, random_histories(SPEC, SIZES))
    model(inputs)
    assert set(seen["rec"]) == {"candidates", "user", "ids"}
    assert set(seen["search"]) == {"candidates", "user", "query", "ids"}
    assert tuple(seen["rec"]["candidates"].shape) == (6, 3, 4)
    assert tuple(seen["search"]["query"].shape) == (6, 4)
    assert set(seen["search"]["ids"]) == {
        *("candidates", "history_row", "is_target", "user", "query_words")
    }
    np.testing.assert_array_equal(
        numpy(seen["rec"]["ids"]["user"]), inputs["rec"]["user"]
    )


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"width": 2.5}, "width must be a whole number, not 2.5"),
        ({"width": 0}, "width must be at least 1 and at most 8192, not 0"),
        ({"width": None}, "width must be a whole number, not None"),
        ({"search_weight": -1.0}, "search_weight must be at least 0"),
        ({"search_weight": float("nan")}, "search_weight must be at least 0"),
        ({"search_weight": "high"}, "search_weight must be a number, not 'high'"),
        ({"tasks": ("rec", "ads")}, "tasks must be of rec, search for Tiny, not rec"),
        ({"tasks": ()}, "tasks must be of rec, search for Tiny, not none"),
        ({"tasks": "rec"}, "tasks must be a tuple, not 'rec'"),
    ],
)
def test_unusable_hyperparameters(options, problem):
    with pytest.raises(ValueError, match=problem) as error:
        tiny(**options)
    assert "\n" not in str(error.value)


def test_a_hyperparameter_that_is_not_there():
    with pytest.raises((TypeError, ValueError), match="widht"):
        tiny(widht=3)


@pytest.mark.parametrize("cls", [UniSAR, SESRec, Tiny])
def test_every_hyperparameter_has_a_help_text(cls):
    settings = cls.hyperparameters()
    assert "tasks" in settings and not {"spec", "tables", "kwargs"} & set(settings)
    for name, setting in settings.items():
        assert setting.name == name
        assert len(setting.help) > 10 and setting.help.endswith("."), name


def test_needs_are_names_of_inputs():
    class Wrong(Tiny):
        needs = ("rec_items", "weather")

    with pytest.raises(ValueError, match=r"needs names weather; a batch has rec_items"):
        Wrong(SPEC, feature_tables(SPEC))


def test_a_model_of_one_task_takes_that_task_only():
    model = tiny(tasks=["search"])
    assert model.tasks == ("search",)
    inputs = batch(SPEC, random_histories(SPEC, SIZES))
    assert list(model(inputs)) == ["search"]
    names = [metric.name for metric in model.metrics]
    assert "search" in names and not any("rec" in name for name in names)


def test_hooks_that_are_missing_are_named():
    class Empty(Model):
        def __init__(self, spec, tables=None, **kwargs):
            super().__init__(spec, tables, **kwargs)
            self.item_encoder = keras.layers.Embedding(spec.num_items + 1, 2)

    with pytest.raises(NotImplementedError, match="Empty has no method read"):
        Empty(SPEC)
