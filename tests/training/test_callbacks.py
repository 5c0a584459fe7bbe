import csv
import dataclasses
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from sar_tf.training import callbacks, checkpoint
from sar_tf.training.config import RunConfig
from sar_tf.training.history import HistoryCsv
from sar_tf.training.run_directory import RunDirectory
from sar_tf.training.strategy import Workers

SCORES = [0.1, 0.3, 0.2, 0.2, 0.2, 0.2, 0.2, 0.4]
STEPS = 2


def make_model():
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(0.1), loss="mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


@dataclasses.dataclass
class Ones:
    """Training batches, all alike."""

    worker: int = 0
    replicas_of_worker: int = 1

    def train_from(self, epoch, step=0):
        return tf.data.Dataset.from_tensors((tf.ones((4, 2)), tf.ones((4, 1)))).repeat()


class FixedScores(keras.callbacks.Callback):
    """Stands for validation: gives an epoch the score of the list above."""

    def on_epoch_end(self, epoch, logs=None):
        logs["val_rec_NDCG@5"] = SCORES[epoch]
        logs["val_search_NDCG@5"] = SCORES[epoch] + 0.1


def fit(model, folder, epochs, restored=None, stop_patience=10):
    run_dir = RunDirectory(folder)
    run_dir.start(RunConfig())
    plateau = callbacks.ReduceLROnPlateau(factor=0.1, patience=2, min_lr=1e-3)
    early = callbacks.EarlyStopping(patience=stop_patience)
    workers = Workers(tf.distribute.get_strategy())
    finite_steps = callbacks.FiniteSteps(Ones(), run_dir, workers)
    initial_epoch = restored["epoch"] if restored else 0
    model.fit(
        Ones().train_from(0),
        steps_per_epoch=STEPS,
        verbose=0,
        initial_epoch=initial_epoch,
        epochs=epochs,
        callbacks=[
            FixedScores(),
            callbacks.MeanOverTasks(["rec", "search"]),
            plateau,
            early,
            HistoryCsv(run_dir.history, initial_epoch),
            finite_steps,
            callbacks.Checkpoints(
                run_dir,
                workers,
                1000,
                STEPS,
                finite_steps,
                early,
                {"plateau": plateau, "early_stopping": early},
                restored,
            ),
        ],
    )


def read_history(folder):
    with open(folder / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    model = make_model()
    fit(model, folder, epochs=8)
    return folder, model.get_weights()


def test_monitor_is_the_mean_over_tasks(undisturbed):
    values = [float(row["val_NDCG@5"]) for row in read_history(undisturbed[0])]
    np.testing.assert_allclose(values, np.array(SCORES) + 0.05)


def test_plateau_lowers_the_rate(undisturbed):
    rates = [float(row["learning_rate"]) for row in read_history(undisturbed[0])]
    # No better score in epochs 3 and 4, then 5 and 6, then the minimum is reached.
    expected = [0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


def test_best_and_last_checkpoint(undisturbed):
    folder, weights = undisturbed
    assert checkpoint.load_state(RunDirectory(folder).best)["epoch"] == 8
    state = checkpoint.load_state(RunDirectory(folder).last)
    assert (state["epoch"], state["step"]) == (8, 16)
    model = make_model()
    checkpoint.load(RunDirectory(folder).last, model)
    for restored, weight in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(restored, weight)


@pytest.mark.parametrize("stop", [1, 4, 5, 7])
def test_resumed_equals_undisturbed(undisturbed, tmp_path, stop):
    """Weights, dropout's draws, learning rate, patience and history are the same."""
    fit(make_model(), tmp_path, epochs=stop)
    model = make_model()
    fit(
        model,
        tmp_path,
        epochs=8,
        restored=checkpoint.load(RunDirectory(tmp_path).last, model),
    )
    for resumed, weight in zip(model.get_weights(), undisturbed[1], strict=True):
        np.testing.assert_array_equal(resumed, weight)
    assert read_history(tmp_path) == read_history(undisturbed[0])
    assert checkpoint.load_state(RunDirectory(tmp_path).best)["epoch"] == 8


@pytest.mark.parametrize("stop", [3, 5])
def test_early_stopping_survives_a_resume(tmp_path, stop):
    fit(make_model(), tmp_path, epochs=stop, stop_patience=4)
    model = make_model()
    restored = checkpoint.load(RunDirectory(tmp_path).last, model)
    fit(model, tmp_path, epochs=8, restored=restored, stop_patience=4)
    assert len(read_history(tmp_path)) == 6  # Four after the best, the second.
    state = checkpoint.load_state(RunDirectory(tmp_path).last)
    assert state["callbacks"]["early_stopping"]["stopped"]
    assert checkpoint.load_state(RunDirectory(tmp_path).best)["epoch"] == 2


@pytest.mark.parametrize(
    ("value", "what"),
    [(math.nan, "the loss is nan"), (1e38, "the loss is inf")],
)
def test_a_loss_that_is_not_finite(tmp_path, value, what):
    fit(make_model(), tmp_path, epochs=2)
    run_dir = RunDirectory(tmp_path)
    model = make_model()
    restored = checkpoint.load(run_dir.last, model)
    model.layers[-1].bias.assign([value])
    with pytest.raises(callbacks.TrainingError) as raised:
        fit(model, tmp_path, epochs=8, restored=restored)
    message = str(raised.value)
    assert message.startswith(f"step 1 of epoch 3: {what}; its batch is in ")
    assert f"{run_dir.broken_batch()}, {run_dir.last} was saved before it; " in message
    assert checkpoint.load_state(run_dir.last)["epoch"] == 2
    with np.load(run_dir.broken_batch()) as batch:
        np.testing.assert_array_equal(batch["0"], np.ones((4, 2)))
        np.testing.assert_array_equal(batch["1"], np.ones((4, 1)))


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    """A loss may be finite, though its step breaks the weights after it."""
    model = make_model()
    model.optimizer.variables[-1].assign([math.inf])  # Of the bias, its mean square.
    with pytest.raises(callbacks.TrainingError) as raised:
        fit(model, tmp_path, epochs=1)
    message = str(raised.value)
    assert message.startswith("step 1 of epoch 1: the loss is finite, but the weights ")
    assert model.layers[-1].bias.path in message
    assert not list(RunDirectory(tmp_path).checkpoints.iterdir())


class TwoWorkers(Workers):
    """The first of two workers, which counts the questions that they ask."""

    are_many = True
    is_chief = True
    index = 0

    def __init__(self):
        self.asked = 0

    def any(self, flag):
        self.asked += 1
        return flag


@pytest.mark.parametrize(
    ("minutes", "asked", "saved"), [(1000, 5, False), (0, 0, True)]
)
def test_workers_ask_each_other_every_so_many_steps(tmp_path, minutes, asked, saved):
    workers = TwoWorkers()
    run_dir = RunDirectory(tmp_path)
    run_dir.start(RunConfig())
    finite_steps = callbacks.FiniteSteps(Ones(), run_dir, workers)
    early = callbacks.EarlyStopping(patience=1)
    checkpoints = callbacks.Checkpoints(
        run_dir, workers, minutes, 200, finite_steps, early, {}
    )
    for callback in (finite_steps, checkpoints):
        callback.set_model(make_model())
        callback.set_params({"steps": 200})
    checkpoints.on_train_begin()
    finite_steps.on_epoch_begin(0)
    for batch in range(100 if minutes else 2):
        finite_steps.on_train_batch_end(batch, {"loss": 0.5})
        checkpoints.on_train_batch_end(batch)
    assert workers.asked == asked
    assert run_dir.last.exists() == saved


def test_every_worker_writes_its_share_of_a_broken_batch(tmp_path):
    run_dir = RunDirectory(tmp_path)
    for index in range(2):
        workers = TwoWorkers()
        workers.index, workers.is_chief = index, not index
        finite_steps = callbacks.FiniteSteps(Ones(), run_dir, workers)
        finite_steps.set_params({"steps": 9})
        finite_steps.on_epoch_begin(0)
        with pytest.raises(callbacks.TrainingError, match="its batch is in"):
            finite_steps.on_train_batch_end(0, {"loss": math.nan})
        # None ends before all have written.
        assert workers.asked == 1
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["broken_batch.1.npz", "broken_batch.npz"]
