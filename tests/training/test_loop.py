"""What breaks off goes on as if undisturbed: training of a tiny model."""

import csv
import dataclasses
import math

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from sar_tf.metrics.ranking import RankingMetrics
from sar_tf.models import base
from sar_tf.training import callbacks, checkpoint, loop
from sar_tf.training.compile import compile_model
from sar_tf.training.run_directory import RunDirectory

STEPS = 5
EPOCHS = 3


class Tiny(base.Model):
    """Scores candidates by one dense layer, with dropout."""

    tasks = ("rec",)

    def __init__(self):
        super().__init__(None, {"rec": {"click_loss": 1.0}}, {})
        self.dropout = keras.layers.Dropout(0.5)
        self.dense = keras.layers.Dense(1)
        self.ranking_metrics["rec"] = RankingMetrics(name="rec")

    def forward(self, batch, training):
        x = self.dropout(batch["rec"]["candidates"], training=training)
        return {"rec": (ops.squeeze(self.dense(x), -1), {})}


@dataclasses.dataclass
class Candidates:
    """Batches of candidates with random features, as `BatchPipeline` gives batches.

    The features of one may be infinite.
    """

    infinite: int = -1
    worker: int = 0
    replicas_of_worker: int = 1

    def steps_per_epoch(self, split):
        return STEPS if split == "train" else 3

    def train(self, start_epoch=0, start_step=0):
        numbers = tf.data.Dataset.counter(STEPS * start_epoch + start_step)
        return numbers.map(self._make_batch)

    def evaluate(self, split):
        return tf.data.Dataset.range(1000, 1003).map(self._make_batch)

    def _make_batch(self, number):
        seed = tf.stack([number, 1])
        features = tf.random.stateless_uniform((8, 6, 4), seed)
        features = tf.where(tf.equal(number, self.infinite), math.inf, features)
        return {"rec": {"candidates": features}}


def fit(folder, epochs=EPOCHS, resume=False, minutes=1000.0, pipeline=None):
    keras.utils.set_random_seed(1)
    model = Tiny()
    pipeline = pipeline or Candidates()
    model.build_on(next(iter(pipeline.train())))
    compile_model(model, learning_rate=0.1, l2=0.0)
    run_dir = RunDirectory(folder)
    run_dir.start("")
    loop.fit(
        model,
        pipeline,
        run_dir,
        epochs=epochs,
        evaluation=pipeline,
        plateau_patience=1,
        checkpoint_minutes=minutes,
        resume=resume,
        verbose=0,
    )
    return model


def fit_until(monkeypatch, folder, method, call, **kwargs):
    """Trains until a callback's method is called for the n-th time."""
    calls = []

    def break_off(*args, **kwargs):
        calls.append(args)
        if len(calls) == call:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(callbacks.MeanOverTasks, method, break_off)
        fit(folder, **kwargs)


def read_history(folder):
    with open(folder / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def read_checksums(folder):
    """Of the weights, optimizer, random generators and state of two checkpoints."""
    run_dir = RunDirectory(folder)
    checksums = []
    for path in (run_dir.last, run_dir.best):
        with h5py.File(path) as file:
            checksums.append(file.attrs["sha256"])
    return checksums


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    fit(folder)
    return folder


def assert_equals_undisturbed(folder, undisturbed):
    assert read_checksums(folder) == read_checksums(undisturbed)
    assert read_history(folder) == read_history(undisturbed)


def test_means_are_over_the_whole_epoch(undisturbed):
    """The history's loss is the mean of the steps' losses, which differ."""
    history = read_history(undisturbed)
    assert len(history) == EPOCHS
    for row in history:
        assert float(row["loss"]) == pytest.approx(float(row["rec_click_loss"]))


def test_more_checkpoints_change_nothing(undisturbed, tmp_path):
    fit(tmp_path, minutes=0)
    assert_equals_undisturbed(tmp_path, undisturbed)
    state = checkpoint.load_state(RunDirectory(tmp_path).previous)
    assert (state["epoch"], state["epoch_step"], state["step"]) == (2, 4, 14)


@pytest.mark.parametrize(
    ("method", "call", "minutes", "expected"),
    [
        ("on_train_batch_begin", 4, 1000, None),
        ("on_train_batch_begin", 4, 0, (0, 3)),
        ("on_test_begin", 1, 1000, (0, 4)),
        ("on_train_batch_begin", 9, 1000, (1, 0)),
        ("on_test_begin", 3, 0, (2, 4)),
    ],
)
def test_resumed_equals_undisturbed(
    undisturbed, tmp_path, monkeypatch, method, call, minutes, expected
):
    fit_until(monkeypatch, tmp_path, method, call, minutes=minutes)
    last = RunDirectory(tmp_path).last
    if expected is None:
        assert not last.exists()
    else:
        state = checkpoint.load_state(last)
        assert (state["epoch"], state["epoch_step"]) == expected
    fit(tmp_path, resume=True)
    assert_equals_undisturbed(tmp_path, undisturbed)


def test_broken_off_again_and_again(undisturbed, tmp_path, monkeypatch):
    for _ in range(3):
        fit_until(
            monkeypatch,
            tmp_path,
            "on_train_batch_begin",
            call=4,
            minutes=0,
            resume=True,
        )
    fit(tmp_path, resume=True)
    assert_equals_undisturbed(tmp_path, undisturbed)


def test_a_checkpoint_without_steps_is_of_an_epochs_end(undisturbed, tmp_path):
    """So were they written at first."""
    model = fit(tmp_path, epochs=2)
    last = RunDirectory(tmp_path).last
    state = checkpoint.load_state(last)
    del state["epoch_step"]
    checkpoint.save(last, model, state)
    fit(tmp_path, resume=True)
    assert_equals_undisturbed(tmp_path, undisturbed)


def test_the_batch_of_a_loss_that_is_not_finite(tmp_path):
    pipeline = Candidates(infinite=STEPS + 2)
    with pytest.raises(callbacks.TrainingError, match="step 3 of epoch 2: the loss is"):
        fit(tmp_path, minutes=0, pipeline=pipeline)
    run_dir = RunDirectory(tmp_path)
    state = checkpoint.load_state(run_dir.last)
    assert (state["epoch"], state["epoch_step"]) == (1, 2)
    with np.load(run_dir.broken_batch) as batch:
        assert list(batch) == ["rec/candidates"]
        assert np.isinf(batch["rec/candidates"]).all()
