"""A small run: killed, gone on with, evaluated and exported again."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from run_folders import (
    SMALL_MODEL,
    assert_same_checkpoints,
    error_of,
    read_history,
    read_metrics,
)

from sar_tf.training import checkpoint, prepare
from sar_tf.training.run_directory import RunDirectory

FLAGS = (
    *SMALL_MODEL,
    "--embedding_optimizer=lazy_adam",
    "--clip_norm=0.5",
    "--epochs=2",
)
STEPS = 11  # An epoch.
SECONDS = 900  # That a process may take to get to where it is killed.


@pytest.fixture(scope="module")
def undisturbed(run, small_flags, tmp_path_factory):
    """The folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    run(*small_flags, *FLAGS, f"--run_dir={folder}")
    return folder


@pytest.fixture
def kill_when(repository, tmp_path):
    """Starts experiments/run.py and kills it: kill_when(is_time, *flags)."""

    def start_and_kill(is_time, *arguments):
        script = repository / "experiments" / "run.py"
        with open(tmp_path / "stderr", "w+") as errors:
            process = subprocess.Popen(
                [sys.executable, script, *arguments],
                env={**os.environ, "PYTHONPATH": str(repository)},
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
            try:
                kill(process, is_time)
            finally:
                process.kill()
                process.wait()
            errors.seek(0)
            assert process.returncode == -signal.SIGKILL, errors.read()

    return start_and_kill


def kill(process, is_time):
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if is_time():
            # What was true may not be so any more: it is looked at while all stands.
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            if is_time():
                return
            process.send_signal(signal.SIGCONT)
        time.sleep(0.001)
    raise AssertionError(f"not yet time to kill it, but it ended: {process.poll()}")


def test_killed_again_and_again_equals_undisturbed(
    run, undisturbed, kill_when, tmp_path, caplog
):
    """And reproduced from its flags.txt."""
    folder = tmp_path / "run"
    run_dir = RunDirectory(folder)
    resume = ("--resume", f"--run_dir={folder}", "--verbose=none")

    def get_step():
        state = checkpoint.load_state(run_dir.last)
        assert state["epoch"] == 0
        return state["epoch_step"]

    partial = run_dir.checkpoints / ".partial-last.weights.h5"

    # Between two steps.
    each_step = "--checkpoint_minutes=0"
    kill_when(
        lambda: run_dir.previous.exists() and not partial.exists(),
        f"--flagfile={undisturbed / 'flags.txt'}",
        *(each_step, f"--run_dir={folder}", "--verbose=none"),
    )
    first = get_step()
    assert 2 <= first < STEPS - 1
    flags, other_flags = (
        set((path / "flags.txt").read_text().splitlines())
        for path in (folder, undisturbed)
    )
    assert {line.split("=")[0] for line in flags ^ other_flags} == {
        "--checkpoint_minutes"
    }

    # While a checkpoint is written.
    kill_when(lambda: partial.exists() and run_dir.last.exists(), *resume, each_step)
    second = get_step()
    assert first <= second < STEPS - 1

    # In a validation. No checkpoint was due but that before the epoch's last step.
    kill_when(
        lambda: any(folder.glob("events/validation/*")),
        *resume,
        "--checkpoint_minutes=1000",
    )
    assert not partial.exists() and not run_dir.history.exists()
    assert get_step() == STEPS - 1

    # The last checkpoint is damaged, by which the one before it comes to its rights.
    content = bytearray(run_dir.last.read_bytes())
    middle = slice(len(content) // 2, len(content) // 2 + 1024)
    content[middle] = bytes(1024)
    run_dir.last.write_bytes(content)
    assert checkpoint.load_state(run_dir.previous)["epoch_step"] == second
    # Steps an execution that do not divide the epoch's: none is left out or done twice.
    run(*resume, "--steps_per_execution=4")
    (record,) = caplog.records
    assert f"{run_dir.last} is damaged (" in record.getMessage()

    assert_same_checkpoints(folder, undisturbed)
    assert read_history(folder) == read_history(undisturbed)
    assert read_metrics(folder) == read_metrics(undisturbed)


def test_evaluate_gives_the_same_metrics(run, undisturbed):
    metrics = read_metrics(undisturbed)
    (undisturbed / "metrics.json").unlink()
    run("--mode=evaluate", f"--run_dir={undisturbed}", "--verbose=none")
    assert read_metrics(undisturbed) == metrics


@pytest.mark.parametrize("mode", ["evaluate", "export"])
@pytest.mark.parametrize("flag", ["--sesrec.num_heads=4", "--max_rec_history=3"])
def test_the_model_is_the_runs(run, undisturbed, mode, flag):
    metrics = read_metrics(undisturbed)
    message = error_of(run, f"--mode={mode}", flag, f"--run_dir={undisturbed}")
    name = flag.removeprefix("--").removeprefix("sesrec.").partition("=")[0]
    assert f"{name} is not what the run was started with" in message
    assert read_metrics(undisturbed) == metrics


def test_one_task(undisturbed):
    metrics = read_metrics(undisturbed)
    assert set(metrics["test"]) == set(metrics["baselines"]["random"]) == {"rec"}


def test_export_again(run, undisturbed):
    saved_model = undisturbed / "saved_model" / "1" / "saved_model.pb"
    saved_model.write_bytes(b"")
    run("--mode=export", f"--run_dir={undisturbed}")
    assert saved_model.stat().st_size > 0
    assert [path.name for path in (undisturbed / "saved_model").iterdir()] == ["1"]


def test_a_run_is_not_overwritten(run, small_flags, undisturbed):
    flags_text = (undisturbed / "flags.txt").read_text()
    message = error_of(run, *small_flags, *FLAGS, f"--run_dir={undisturbed}")
    assert "already holds a run" in message
    assert (undisturbed / "flags.txt").read_text() == flags_text


def test_resuming_with_another_setting(run, undisturbed):
    run_dir = f"--run_dir={undisturbed}"
    message = error_of(run, "--resume", "--learning_rate=0.5", run_dir)
    assert "learning_rate is not what the run was started with" in message


def test_resuming_a_finished_run(run, undisturbed, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(undisturbed, folder)
    run("--resume", f"--run_dir={folder}")
    assert read_metrics(folder) == read_metrics(undisturbed)
    assert read_history(folder) == read_history(undisturbed)


def test_a_run_of_an_older_version(run, undisturbed, tmp_path):
    folder = tmp_path / "older"
    shutil.copytree(undisturbed, folder)
    (folder / "config.json").unlink()
    for mode in ("--resume", "--mode=evaluate", "--mode=export"):
        message = error_of(run, mode, f"--run_dir={folder}")
        assert "holds a run of an older version" in message


@contextlib.contextmanager
def small_disk(folder, num_bytes):
    """Mounts a disk of so many bytes at a folder; skips where that is not allowed."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={num_bytes}", "tmpfs", folder]
    try:
        subprocess.run(["mount", *options], check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small disk cannot be mounted here: {error}")
    try:
        yield
    finally:
        # TensorFlow still holds the events of a run that ended by an error.
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk(run, undisturbed, small_flags, tmp_path):
    """There is room for two checkpoints, not for a third one."""
    num_bytes = RunDirectory(undisturbed).last.stat().st_size
    disk = tmp_path / "disk"
    with small_disk(disk, 5 * num_bytes // 2):
        run_dir = RunDirectory(disk / "run")
        message = error_of(
            run,
            *(*small_flags, *FLAGS, "--checkpoint_minutes=0"),
            f"--run_dir={run_dir.path}",
        )
        full = f"run.py: {run_dir.last} cannot be written: No space left on device; "
        assert message.startswith(full) and "a run can be resumed" in message
        assert sorted(run_dir.checkpoints.iterdir()) == [run_dir.last, run_dir.previous]
        assert checkpoint.load_state(run_dir.previous)["epoch_step"] == 1
        assert checkpoint.load_state(run_dir.last)["epoch_step"] == 2


def test_a_folder_that_cannot_be_written(run, undisturbed, small_flags, tmp_path):
    disk = tmp_path / "disk"
    with small_disk(disk, 1 << 20):
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        message = error_of(run, *small_flags, *FLAGS, f"--run_dir={disk / 'run'}")
        assert "Read-only file system" in message and str(disk / "run") in message


def test_a_loss_that_is_not_finite(run, small_flags, tmp_path, monkeypatch):
    # Far above the rates that a flag may set.
    monkeypatch.setattr(prepare, "_learning_rate", lambda *_: 1e30)
    run_dir = RunDirectory(tmp_path / "run")
    message = error_of(
        run,
        *(*small_flags, *FLAGS, "--checkpoint_minutes=0"),
        f"--run_dir={run_dir.path}",
    )
    step = checkpoint.load_state(run_dir.last)["epoch_step"] + 1
    assert message.startswith(f"run.py: step {step} of epoch 1: the loss is ")
    files = f"{run_dir.broken_batch()}, {run_dir.last} was saved before it"
    assert f"its batch is in {files}" in message
    with np.load(run_dir.broken_batch()) as batch:
        assert batch["rec/is_target"].shape == batch["rec/candidates"].shape[:1]
        assert batch["history/rec_items"].any()
