"""Two workers, processes of their own, on this machine."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from run_folders import (
    assert_same_checkpoints,
    read_history,
    read_metrics,
    read_ranks,
)

from sar_tf.training.run_directory import RunDirectory

# The model that is traced fastest: four processes each start it.
FLAGS = ("--model=qem", "--hidden_dim=8", "--learning_rate=0.01", "--epochs=2")


@pytest.fixture(scope="module")
def launch(repository, small_flags):
    """Starts two workers on a run folder; more flags may follow."""

    def start(folder, *more):
        command = [
            sys.executable,
            repository / "tools" / "launch_local_cluster.py",
            "--workers=2",
            "--",
            sys.executable,
            repository / "experiments" / "run.py",
            *small_flags,
            *FLAGS,
            "--strategy=multi_worker",
            f"--run_dir={folder}",
            *more,
        ]
        return subprocess.Popen(
            command,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(repository)},
        )

    return start


@pytest.fixture(scope="module")
def undisturbed(launch, tmp_path_factory):
    """The folder of a run of two workers."""
    folder = tmp_path_factory.mktemp("runs") / "workers"
    process = launch(folder, "--verbose=epochs")
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    assert "strategy=multi_worker: 2 replicas" in output
    return folder


def test_the_run_folder_is_that_of_one_device(undisturbed, run):
    """Every validation and test target is counted once, and only the chief writes."""
    assert sorted(path.name for path in undisturbed.iterdir()) == [
        ".lock",
        "checkpoints",
        "config.json",
        "events",
        "flags.txt",
        "history.csv",
        "metrics.json",
        "ranks",
        "saved_model",
    ]
    by_workers = read_metrics(undisturbed)
    ranks_by_workers = read_ranks(undisturbed)
    last = read_history(undisturbed)[-1]
    assert float(last["loss"]) < float(read_history(undisturbed)[0]["loss"])
    run("--mode=evaluate", f"--run_dir={undisturbed}", "--strategy=one_device")
    alone = read_metrics(undisturbed)
    for split in ("validation", "test"):
        for name, value in by_workers[split]["search"].items():
            assert value == pytest.approx(alone[split]["search"][name], abs=1e-6), name
    for name, ranks in read_ranks(undisturbed).items():
        # In the records' order, whichever worker read them.
        np.testing.assert_array_equal(ranks, ranks_by_workers[name])


def test_a_killed_worker_ends_the_others_and_the_run_can_go_on(
    undisturbed, launch, tmp_path
):
    folder = tmp_path / "run"
    process = launch(folder, "--checkpoint_minutes=0")
    wait_for(RunDirectory(folder).previous, process)
    (launcher_child,) = children(process.pid)[1:]
    os.kill(launcher_child, signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGKILL, output
    assert "worker 1 was killed by SIGKILL" in output
    process = launch(folder, "--resume", "--checkpoint_minutes=1000")
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    assert read_history(folder) == read_history(undisturbed)
    assert_same_checkpoints(folder, undisturbed)


def wait_for(path, process):
    for _ in range(3000):
        if path.exists():
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    raise TimeoutError(f"{path} does not appear")


def children(pid):
    """Processes that one has started, in that order."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
        return sorted(map(int, file.read().split()))
