"""Models of one task in a whole run: broken off, gone on with, and exported.

Those with the most state: draws, statistics, sequences, recurrence; the others' layers
are parts of theirs.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import sar_tf
from sar_tf.serving.export import dense_signature

HYPERPARAMETERS = {
    "copps": {"hidden_dim": 8, "inner_units": 8, "text_weight": 1.0},
    "dien": {"hidden_dim": 8, "prediction_units": (8,)},
}


class BreakOff(keras.callbacks.Callback):
    """Ends the process' run, as it were, within the second epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations == self.params["steps"] + 1:
            raise KeyboardInterrupt


@pytest.fixture(scope="module", params=HYPERPARAMETERS)
def runs(request, simulated_dataset, tmp_path_factory):
    """Folders of an undisturbed run and of one that was broken off and resumed."""
    config = sar_tf.RunConfig(
        model=request.param,
        dataset_dir=str(simulated_dataset),
        batch_size=512,
        evaluation_batch_size=64,
        history_groups=1,
        max_rec_history=5,
        epochs=2,
        learning_rate=0.01,
        hyperparameters=HYPERPARAMETERS[request.param],
    )
    folder = tmp_path_factory.mktemp(request.param)
    metrics = sar_tf.run(config, folder / "undisturbed", verbose="none")
    with pytest.raises(KeyboardInterrupt):
        sar_tf.run(config, folder / "resumed", [BreakOff()], verbose="none")
    resumed = sar_tf.run(config, folder / "resumed", resume=True, verbose="none")
    return folder, metrics, resumed


def test_a_resumed_run_equals_an_undisturbed_one(runs):
    folder, metrics, resumed = runs
    assert resumed["validation"] == metrics["validation"]
    assert resumed["test"] == metrics["test"]
    models = [sar_tf.load_run(folder / run)[0] for run in ("undisturbed", "resumed")]
    for one, other in zip(*(model.variables for model in models), strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other)
        )


def test_the_exported_model_scores_the_same(runs, tmp_path):
    folder, _, _ = runs
    model, data = sar_tf.load_run(folder / "undisturbed")
    (task,) = model.tasks
    sar_tf.export(model, tmp_path / "1", data)
    batch = next(iter(data.test()))
    arrays = dict(batch[task])
    for name in model.needs:
        if name in batch.get("history", {}):
            arrays[name] = tf.gather(batch["history"][name], arrays["history_row"])
    served = tf.saved_model.load(tmp_path / "1")
    inputs = {name: arrays[name] for name in dense_signature(task, model)}
    scores = served.signatures[f"rank_{task}_dense"](**inputs)["scores"]
    expected = keras.ops.convert_to_numpy(model.score(task, batch))
    np.testing.assert_allclose(scores, expected, atol=1e-6)
