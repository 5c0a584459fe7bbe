"""Searches with Keras Tuner: killed, in rungs, and with a chief and workers."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time

import h5py
import pytest
from run_folders import SMALL_MODEL, read_history, read_metrics

from experiments import flags
from experiments import tune as script

for needed in ("keras_tuner", "matplotlib"):
    pytest.importorskip(needed, reason=f"{needed} is not installed")


@pytest.fixture
def start(repository):
    """Starts experiments/tune.py as a process: start(*flags, **environment)."""
    started = []

    def start_one(*arguments, **environment):
        one = subprocess.Popen(
            [sys.executable, repository / "experiments" / "tune.py", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(repository), **environment},
        )
        started.append(one)
        return one

    yield start_one
    for one in started:
        one.kill()
        one.wait()
        one.stdout.close()


def read_trials(folder):
    with open(folder / "trials.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_killed_search_goes_on_and_best_flags_repeat_the_best(
    small_flags, tmp_path, start, run, capsys
):
    folder = tmp_path / "t"
    here = [*small_flags, *SMALL_MODEL, "--epochs=2", f"--tune_dir={folder}"]
    here += ["--tuner=grid", "--space=learning_rate=0.01,0.003"]
    search = start(*here)
    history = folder / "trial_1" / "history.csv"
    while not _epoch(folder / "trial_1" / "checkpoints" / "last.weights.h5"):
        assert search.poll() is None, search.stdout.read()
        time.sleep(0.01)
    search.send_signal(signal.SIGKILL)
    search.wait()
    assert not (folder / "trial_1" / "metrics.json").exists()
    finished = (folder / "trial_0" / "metrics.json").stat()
    # A run that goes on keeps the rows of earlier epochs.
    row = read_history(folder / "trial_1")[0]
    history.write_text(history.read_text().replace(row["loss"], "123.0"))

    script.main(here)
    assert (folder / "trial_0" / "metrics.json").stat() == finished
    assert [row["loss"] == "123.0" for row in read_history(folder / "trial_1")] == [
        True,
        False,
    ]
    rows = read_trials(folder)
    assert [row["learning_rate"] for row in rows] == ["0.01", "0.003"]
    assert {row["status"] for row in rows} == {"COMPLETED"}
    best = max(rows, key=lambda row: float(row["val_NDCG@5"]))
    assert f"best so far: {best['trial']}" in capsys.readouterr().out
    flagfile = f"--flagfile={folder / 'best.flags'}"
    rate = flags.parse([flagfile]).config().learning_rate
    assert str(rate) == best["learning_rate"]
    run(flagfile, f"--run_dir={tmp_path / 'again'}", "--verbose=none")
    (own,) = read_metrics(tmp_path / "again")["validation"].values()
    assert f"{own['NDCG@5']:.6f}" == best["val_NDCG@5"]


def test_rungs_of_hyperband_go_on_from_checkpoints(
    small_flags, tmp_path, monkeypatch, run
):
    from experiments import tuner

    (tmp_path / "own_model.py").write_text(
        "from sar_tf.models import STAMP\n\n\nclass Own(STAMP):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "t"
    begun, train = {}, tuner.train_run

    def trained(one, verbose):
        begun[one.name.partition(",")[0]] = (
            one.folder.path.name,
            _epoch(one.folder.last),
        )
        train(one, verbose)

    monkeypatch.setattr(tuner, "train_run", trained)
    script.main(
        [
            *small_flags,
            "--model=own_model:Own",
            "--epochs=2",
            "--tuner=hyperband",
            "--factor=2",
            f"--tune_dir={folder}",
            "--space=learning_rate=1e-4..1e-2,log",
            "--space=own_model:Own.hidden_dim=4,8",
        ]
    )
    rows = {row["trial"]: row for row in read_trials(folder)}
    # A bracket of two trials, the better of which goes on, and one without rungs.
    assert [row["epochs"] for row in rows.values()] == ["1", "1", "2", "2", "2"]
    first = max(["trial_0000", "trial_0001"], key=lambda n: rows[n]["val_NDCG@5"])
    assert rows["trial_0002"]["run"] == first
    assert begun["trial_0002"] == (first, 1) and begun[first] == (first, 0)

    run(f"--flagfile={folder / first / 'flags.txt'}", f"--run_dir={tmp_path / 'whole'}")
    assert read_history(tmp_path / "whole") == read_history(folder / first)
    _check_hparams(folder, rows["trial_0002"])
    with open(folder / "parallel_coordinates.csv", newline="") as file:
        drawn = [row["trial"] for row in csv.DictReader(file)]
    assert sorted(drawn) == sorted(rows)
    assert "<svg" in (folder / "parallel_coordinates.svg").read_text()


def _epoch(checkpoint):
    if not checkpoint.exists():
        return 0
    with h5py.File(checkpoint) as file:
        return json.loads(file.attrs["training_state"])["epoch"]


def _check_hparams(folder, row):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
    from tensorboard.util import tensor_util

    def read(name):
        events = EventAccumulator(str(folder / "hparams" / name))
        events.Reload()
        return events

    def plugin_data(events, tag):
        content = events.SummaryMetadata(tag).plugin_data.content
        return HParamsPluginData.FromString(content)

    events = read(row["trial"])
    start = plugin_data(events, metadata.SESSION_START_INFO_TAG).session_start_info
    for name in ("learning_rate", "own_model:Own.hidden_dim"):
        assert start.hparams[name].number_value == float(row[name])
    (score,) = events.Tensors("val_NDCG@5")
    assert tensor_util.make_ndarray(score.tensor_proto) == pytest.approx(
        float(row["val_NDCG@5"]), abs=1e-6
    )
    space = plugin_data(read("space"), metadata.EXPERIMENT_TAG).experiment
    assert [info.name for info in space.hparam_infos] == [
        "learning_rate",
        "own_model:Own.hidden_dim",
    ]


def free_address():
    """Keras Tuner's variables of a chief on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": port}


def test_a_chief_and_two_workers(small_flags, tmp_path, start):
    here = [*small_flags, *SMALL_MODEL, "--epochs=1", f"--tune_dir={tmp_path / 't'}"]
    here += ["--tuner=random", "--max_trials=4", "--space=learning_rate=1e-4..1e-2,log"]
    address = free_address()
    workers = [
        start(*here, **address, KERASTUNER_TUNER_ID=name) for name in ("one", "two")
    ]
    for worker in workers:  # Both are there before there is a trial.
        while "asking the chief" not in (line := worker.stdout.readline()):
            assert line, "the worker has ended"
    chief = start(*here, **address, KERASTUNER_TUNER_ID="chief")
    texts = [each.communicate()[0] for each in (*workers, chief)]
    assert [each.returncode for each in (*workers, chief)] == [0, 0, 0], texts
    names = [f"trial_{number}" for number in range(4)]
    ran = [[name for name in names if f"{name} of 4: " in text] for text in texts]
    assert sorted(ran[0] + ran[1]) == names and ran[0] and ran[1] and not ran[2]
    rows = read_trials(tmp_path / "t")
    assert [row["status"] for row in rows] == ["COMPLETED"] * 4
    for row in rows:
        (own,) = read_metrics(tmp_path / "t" / row["run"])["validation"].values()
        assert f"{own['NDCG@5']:.6f}" == row["val_NDCG@5"]
    assert "4 trials finished; best so far" in texts[2]


@pytest.mark.parametrize("killed", [("chief",), ("one",), ("chief", "one")])
def test_a_killed_chief_or_worker_goes_on(small_flags, tmp_path, start, killed):
    folder = tmp_path / "t"
    here = [*small_flags, *SMALL_MODEL, "--epochs=3", f"--tune_dir={folder}"]
    here += ["--tuner=grid", "--space=learning_rate=0.01,0.003,0.001"]
    address = free_address()

    def start_one(name):
        return start(*here, **address, KERASTUNER_TUNER_ID=name)

    processes = {name: start_one(name) for name in ("chief", "one")}
    while not _epoch(folder / "trial_1" / "checkpoints" / "last.weights.h5"):
        assert all(one.poll() is None for one in processes.values())
        time.sleep(0.01)
    for name in killed:
        processes[name].kill()
        processes[name].wait()
    finished = (folder / "trial_0" / "metrics.json").stat()
    if "one" in killed:
        # A run that goes on keeps the rows of earlier epochs.
        history = folder / "trial_1" / "history.csv"
        row = read_history(folder / "trial_1")[0]
        history.write_text(history.read_text().replace(row["loss"], "123.0"))
    for name in killed:
        processes[name] = start_one(name)
    texts = {name: one.communicate()[0] for name, one in processes.items()}
    assert all(one.returncode == 0 for one in processes.values()), texts

    assert [row["status"] for row in read_trials(folder)] == ["COMPLETED"] * 3
    assert (folder / "trial_0" / "metrics.json").stat() == finished
    assert texts["one"].count("trial_1 of 3: ") == 1
    first = read_history(folder / "trial_1")[0]["loss"]
    assert (first == "123.0") == ("one" in killed)
