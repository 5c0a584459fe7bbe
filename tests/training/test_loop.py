"""What breaks off goes on as if undisturbed: training of a tiny model."""

import csv
import itertools
import shutil
import types

import h5py
import numpy as np
import pytest
from tiny import STEPS, Candidates, make_model

from sar_tf.training import callbacks, checkpoint, loop
from sar_tf.training.config import RunConfig
from sar_tf.training.run_directory import RunDirectory
from sar_tf.training.schedules import WarmupDecay

EPOCHS = 3


def fit(folder, resume=False, minutes=1000.0, pipeline=None, rate=0.1, **arguments):
    model = make_model(rate)
    run_dir = RunDirectory(folder)
    run_dir.start(RunConfig())
    loop.fit(
        model,
        pipeline or Candidates(),
        run_dir,
        **{"epochs": EPOCHS, "plateau_patience": 1, **arguments},
        checkpoint_minutes=minutes,
        resume=resume,
        verbose="none",
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


def assert_equal_runs(folder, other):
    assert read_checksums(folder) == read_checksums(other)
    assert read_history(folder) == read_history(other)


def test_means_are_over_the_whole_epoch(undisturbed):
    """The history's loss is the mean of the steps' losses, which differ."""
    history = read_history(undisturbed)
    assert len(history) == EPOCHS
    for row in history:
        assert float(row["loss"]) == pytest.approx(float(row["rec_click_loss"]))


def test_one_name_means_one_thing(undisturbed):
    """The sum of all losses and that of the click losses have names of their own."""
    names = set(read_history(undisturbed)[0])
    assert {"loss", "click_loss", "val_click_loss"} <= names
    assert "val_loss" not in names


def test_training_has_its_own_results_after_an_evaluation(tmp_path):
    model = fit(tmp_path, epochs=1)
    assert set(model.get_metrics_result()) == {"loss", "click_loss", "rec_click_loss"}


def test_more_checkpoints_change_nothing(undisturbed, tmp_path):
    fit(tmp_path, minutes=0)
    assert_equal_runs(tmp_path, undisturbed)
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
    assert_equal_runs(tmp_path, undisturbed)


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
    assert_equal_runs(tmp_path, undisturbed)


@pytest.mark.parametrize("lost", ["best", "last"])
def test_lost_checkpoints_are_noticed_before_training_goes_on(
    undisturbed, tmp_path, lost
):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    run_dir = RunDirectory(folder)
    getattr(run_dir, lost).unlink()
    if lost == "last":
        run_dir.previous.unlink()
    files = {path: path.stat().st_mtime_ns for path in folder.rglob("*.h5")}
    with pytest.raises(
        checkpoint.CheckpointError, match=f"{lost}.weights.h5 is missing"
    ):
        fit(folder, resume=True, epochs=EPOCHS + 1)
    assert len(read_history(folder)) == EPOCHS
    assert files == {path: path.stat().st_mtime_ns for path in folder.rglob("*.h5")}


def test_a_resumed_schedule_goes_on(tmp_path, monkeypatch):
    schedule = {
        "rate": WarmupDecay(0.1, EPOCHS * STEPS, warmup_steps=3),
        "plateau": False,
    }
    fit(tmp_path / "undisturbed", **schedule)
    history = read_history(tmp_path / "undisturbed")
    rates = [float(row["learning_rate"]) for row in history]
    assert rates == pytest.approx([float(schedule["rate"](5 * e)) for e in (1, 2, 3)])
    folder = tmp_path / "resumed"
    fit_until(monkeypatch, folder, "on_train_batch_begin", 9, minutes=0, **schedule)
    fit(folder, resume=True, **schedule)
    assert_equal_runs(folder, tmp_path / "undisturbed")


STANDSTILL = {"rate": 1e-7}  # No epoch ranks better than the first.


def test_learning_rate_goes_down_to_its_minimum(tmp_path):
    arguments = {"plateau_factor": 0.7, "min_learning_rate": 5e-8, **STANDSTILL}
    fit(tmp_path, epochs=4, **arguments)
    rates = [float(row["learning_rate"]) for row in read_history(tmp_path)]
    assert rates == pytest.approx([1e-7, 1e-7, 7e-8, 5e-8])


def test_training_that_stopped_early_does_not_go_on(tmp_path):
    arguments = {"epochs": 9, "early_stopping_patience": 2, **STANDSTILL}
    fit(tmp_path, **arguments)
    stopped = read_checksums(tmp_path)
    assert len(read_history(tmp_path)) == 3
    fit(tmp_path, resume=True, **arguments)
    assert len(read_history(tmp_path)) == 3
    assert read_checksums(tmp_path) == stopped


def test_minutes_between_checkpoints(tmp_path, monkeypatch):
    """The clock goes on by 20 seconds whenever it is read: once a step."""
    clock = types.SimpleNamespace(monotonic=itertools.count(step=20).__next__)
    monkeypatch.setattr(callbacks, "time", clock)
    save, saved = checkpoint.save, []

    def save_and_note(path, model, state, **kwargs):
        save(path, model, state, **kwargs)
        if path.name.startswith("last"):
            saved.append((state["epoch"], state["epoch_step"]))

    monkeypatch.setattr(checkpoint, "save", save_and_note)
    fit(tmp_path, epochs=1, minutes=1)
    # After three steps; before the last step and after it there always is one.
    assert saved == [(0, 3), (0, 4), (1, 0)]


def test_callbacks_of_the_caller(tmp_path):
    class StopAtOnce(callbacks.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            assert logs["val_NDCG@5"] >= 0
            self.model.stop_training = True

    fit(tmp_path, more_callbacks=[StopAtOnce()])
    assert len(read_history(tmp_path)) == 1


def test_the_batch_of_a_loss_that_is_not_finite(tmp_path):
    pipeline = Candidates(infinite=STEPS + 2)
    with pytest.raises(callbacks.TrainingError, match="step 3 of epoch 2: the loss is"):
        fit(tmp_path, minutes=0, pipeline=pipeline)
    run_dir = RunDirectory(tmp_path)
    state = checkpoint.load_state(run_dir.last)
    assert (state["epoch"], state["epoch_step"]) == (1, 2)
    with np.load(run_dir.broken_batch()) as batch:
        assert "rec/candidates" in list(batch)
        assert not batch["rec/candidates"].any()
