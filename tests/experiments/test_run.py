import re

import numpy as np
import pytest
from run_folders import read_history, read_metrics, read_ranks

from sar_tf.metrics.ranks import CUTOFFS, metrics_by_task

UNISAR = ("--model=unisar", "--embedding_dim=8", "--hidden_dim=8")


@pytest.fixture(scope="module")
def unisar(run_process, small_flags, tmp_path_factory):
    """A run of UniSAR in a process of its own: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "unisar"
    run_dir = f"--run_dir={folder}"
    process = run_process(
        *small_flags, *UNISAR, "--epochs=2", run_dir, "--verbose=epochs"
    )
    assert process.returncode == 0, process.stderr
    return folder, process.stdout, process.stderr


def test_a_run_folder_stands_alone(unisar):
    folder = unisar[0]
    assert sorted(path.name for path in folder.iterdir()) == [
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
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == [
        "best.weights.h5",
        "last.weights.h5",
        "previous.weights.h5",
    ]
    assert (folder / "saved_model" / "1" / "saved_model.pb").is_file()
    assert list(folder.glob("events/*/events.out.tfevents.*"))


def test_metrics_of_both_tasks(unisar):
    metrics = read_metrics(unisar[0])
    names = {f"{metric}@{k}" for metric in ("HR", "NDCG") for k in CUTOFFS} | {"MRR"}
    for results in (metrics["test"], metrics["validation"]):
        assert {task: set(results[task]) for task in results} == {
            "rec": names,
            "search": names,
        }
    assert metrics["epoch"] in (1, 2)
    assert set(metrics["baselines"]) == {"most_popular", "random"}


def test_history_has_each_loss_by_task(unisar):
    history = read_history(unisar[0])
    assert [row["epoch"] for row in history] == ["1", "2"]
    for task in ("rec", "search"):
        for loss in ("click_loss", "query_item_loss", "transition_loss"):
            assert np.isfinite(float(history[0][f"{task}_{loss}"]))
    assert float(history[1]["loss"]) < float(history[0]["loss"])
    assert float(history[0]["learning_rate"]) == pytest.approx(1e-3)


def test_validation_metrics_are_the_best_epochs(unisar):
    metrics, history = read_metrics(unisar[0]), read_history(unisar[0])
    best = history[metrics["epoch"] - 1]
    assert float(best["val_NDCG@5"]) == max(float(r["val_NDCG@5"]) for r in history)
    for task, values in metrics["validation"].items():
        for name, value in values.items():
            assert float(best[f"val_{task}_{name}"]) == pytest.approx(value, abs=1e-6)


def test_metrics_are_those_of_the_ranks(unisar):
    for split in ("validation", "test"):
        ranks = read_ranks(unisar[0], split)
        assert metrics_by_task(ranks) == read_metrics(unisar[0])[split]
        assert len(ranks["user"]) == len(ranks["task"]) == len(ranks["rank"])


def test_what_is_printed(unisar):
    """A line an epoch, and at the end the table and where the files are."""
    folder, output, errors = unisar
    # On a slow machine there are lines in between, which tell the step.
    lines = [x for x in output.rstrip().splitlines() if "  step " not in x]
    assert all(len(line) <= 80 for line in lines[:4])
    assert [line.split()[0] for line in lines[2:4]] == ["1/2", "2/2"]
    assert lines[-1] == f"All files of the run are in {folder}"
    assert lines[-3].startswith("random") and len(lines) < 22
    value = read_metrics(folder)["test"]["search"]["HR@1"]
    assert re.match(rf"unisar +{value:.4f} ", lines[-5])
    assert errors == ""


def test_errors_leave_the_process_without_a_traceback(run_process):
    process = run_process("--run_dir=new", "--dataset_dir=nowhere")
    assert process.returncode == 1
    assert process.stdout == ""
    assert re.match(r"run\.py: \S+nowhere: no such folder; ", process.stderr)
    assert len(process.stderr.splitlines()) == 1
