import math

import keras
import numpy as np
import pytest
from batches import SPEC, group, random_histories
from layer_weights import numpy

from sar_tf import models
from sar_tf.metrics.ranking import RankingMetrics
from sar_tf.models import base


class Given(base.Model):
    """Its logits are part of the batch."""

    def __init__(self, data_spec=SPEC, *, search_weight=0.5, **kwargs):
        weights = {"rec": {"click_loss": 1.0}, "search": {"click_loss": search_weight}}
        hyperparameters = {"search_weight": search_weight}
        super().__init__(data_spec, weights, hyperparameters, **kwargs)

    def forward(self, batch, training=False):
        return {task: (inputs["logits"], {}) for task, inputs in batch.items()}


def logits(*probabilities):
    x = np.array(probabilities, "float32")
    return np.log(x / (1 - x))


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ([[0.5, 0.5]], math.log(2)),
        ([[0.8, 0.1, 0.4]], -(math.log(0.8 * 0.9 * 0.6)) / 3),
        ([[0.9, 0.2], [0.3, 0.6]], -(math.log(0.9 * 0.8 * 0.3 * 0.4)) / 4),
        ([[0.25]], -math.log(0.25)),
    ],
)
def test_click_loss(probabilities, expected):
    loss = base.click_loss(logits(*probabilities))
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_click_loss_of_extreme_logits_is_finite():
    assert float(base.click_loss(np.array([[-200.0, 300.0]]))) == pytest.approx(250)
    assert float(base.click_loss(np.array([[200.0, -300.0]]))) == pytest.approx(0)


def test_rows_that_only_fill_up_a_batch_cost_nothing():
    filled = logits([0.8, 0.1], [0.5, 0.5], [0.4, 0.2])
    loss = base.click_loss(filled, np.array([True, False, True]))
    expected = -math.log(0.8 * 0.9 * 0.4 * 0.8) / 4
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_click_loss_of_no_rows_is_zero():
    assert float(base.click_loss(np.zeros((0, 5), "float32"))) == 0


def test_click_loss_is_float32():
    loss = base.click_loss(keras.ops.zeros((2, 3), "bfloat16"))
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"


def test_scores_in_inference_and_losses_in_training():
    batch = {"rec": {"logits": logits([0.8, 0.1, 0.4])}}
    loss = -(math.log(0.8 * 0.9 * 0.6)) / 3
    outputs = Given()(batch)["rec"]
    np.testing.assert_allclose(numpy(outputs["scores"]), [[0.8, 0.1, 0.4]], rtol=1e-5)
    assert float(outputs["click_loss"]) == pytest.approx(loss)
    outputs = Given()(batch, training=True)["rec"]
    assert float(outputs.pop("click_loss")) == pytest.approx(loss)
    assert outputs == {}


def test_losses_are_weighted_by_task_and_averaged_over_batches():
    model = Given(search_weight=0.25)
    for rec, search in ((1.0, 4.0), (3.0, 8.0)):
        outputs = {"rec": {"click_loss": rec}, "search": {"click_loss": search}}
        total = model.compute_loss(y_pred=outputs)
        assert float(total) == pytest.approx(rec + 0.25 * search)
    results = {name: float(value) for name, value in model.get_metrics_result().items()}
    assert results["rec_click_loss"] == 2
    assert results["search_click_loss"] == 6
    assert results["loss"] == 2 + 0.25 * 6


def test_ranking_metrics_see_the_scores():
    model = Given()
    model.compile()
    model.ranking_metrics = {"rec": RankingMetrics(name="rec")}
    batch = {"rec": {"logits": logits([0.8, 0.1], [0.3, 0.4], [0.7, 0.9])}}
    batch["rec"]["is_target"] = np.array([True, True, False])
    model._evaluating = True
    results = model.compute_metrics(batch, None, model(batch))
    assert float(results["rec_HR@1"]) == pytest.approx(1 / 2)
    assert float(results["rec_MRR"]) == pytest.approx(3 / 4)


def test_config_round_trip():
    model = Given(search_weight=0.125)
    copy = Given.from_config(model.get_config())
    assert copy.data_spec == SPEC
    assert copy.loss_weights == model.loss_weights
    assert Given.hyperparameters() == {"search_weight": 0.5}


def test_models_are_found_by_name():
    assert "unisar" in models.names()
    assert models.get("unisar") is models.UniSAR


def test_an_unknown_model_is_named():
    with pytest.raises(ValueError, match=r"'bert4rec'.*unisar"):
        models.get("bert4rec")


def test_rows_are_split_by_group():
    histories = random_histories(SPEC, [(1, 1)] * 6)
    groups = [group(SPEC, histories[:1]), group(SPEC, histories[1:])]
    first, second = base.split_rows(np.arange(12).reshape(6, 2), groups)
    np.testing.assert_array_equal(first, [[0, 1]])
    np.testing.assert_array_equal(second, np.arange(2, 12).reshape(5, 2))


def test_a_padded_history_has_empty_slots_at_the_end():
    histories = random_histories(SPEC, [(2, 1), (0, 1)])
    padded = base.pad_history(group(SPEC, histories, 2, 1), SPEC)
    for name, expected in group(SPEC, histories).items():
        if not name.endswith("positions"):  # of empty slots, which no one reads
            np.testing.assert_array_equal(numpy(padded[name]), expected, err_msg=name)
