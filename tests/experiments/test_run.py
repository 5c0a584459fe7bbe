import re

import numpy as np
import pytest
from run_folders import (
    SMALL_MODEL,
    error_of,
    read_history,
    read_metrics,
)

from sar_tf.metrics.ranking import CUTOFFS

UNISAR = ("--model=unisar", "--embedding_dim=8", "--hidden_dim=8")


@pytest.fixture(scope="module")
def unisar(run_process, small_flags, tmp_path_factory):
    """A run of UniSAR in a process of its own: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "unisar"
    run_dir = f"--run_dir={folder}"
    process = run_process(*small_flags, *UNISAR, "--epochs=2", run_dir)
    assert process.returncode == 0, process.stderr
    return folder, process.stdout, process.stderr


def test_a_run_folder_stands_alone(unisar):
    folder = unisar[0]
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoints",
        "events",
        "flags.txt",
        "history.csv",
        "metrics.json",
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


def test_the_table_is_printed_last_and_nothing_else_shouts(unisar):
    folder, output, errors = unisar
    lines = output.rstrip().splitlines()
    assert lines[-1].startswith("random") and len(lines) < 20
    value = read_metrics(folder)["test"]["search"]["HR@1"]
    assert re.match(rf"unisar +{value:.4f} ", lines[-3])
    assert errors == ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--run_dir=new"], "--dataset_dir is missing"),
        (["--dataset_dir=none"], "--run_dir is missing"),
        (["--dataset_dir=none", "--run_dir=new"], "none: no such folder"),
        (["--learning_rat=1"], "Unknown command line flag 'learning_rat'"),
        (["--batch_size=many"], "flag --batch_size=many"),
        (["--batch_size=0"], "flag --batch_size=0"),
        (["--model=none"], "flag --model=none"),
        (["--mode=fly"], "flag --mode=fly"),
        (["--flagfile=none.flags"], "none.flags"),
        (["--mode=evaluate", "--run_dir=new"], "new holds no run"),
        (["--run_dir=new", "word"], "'word' is no flag"),
    ],
)
def test_a_bad_flag_is_one_line(run, tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    assert expected in error_of(run, *arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--hidden_dim=32", "--hidden_dim: the model sesrec has no such setting"),
        ("--dropout=2", "model sesrec: "),
        ("--prediction_units=200,wide", "give whole numbers, separated by commas"),
    ],
)
def test_a_bad_hyperparameter_is_one_line(
    run, small_flags, tmp_path, argument, expected
):
    run_dir = f"--run_dir={tmp_path / 'run'}"
    assert expected in error_of(run, *small_flags, *SMALL_MODEL, argument, run_dir)
    assert not list(tmp_path.iterdir())


def test_errors_leave_the_process_without_a_traceback(run_process):
    process = run_process("--run_dir=none", "--dataset_dir=none")
    assert process.returncode == 1
    assert process.stdout == ""
    assert re.match(r"run\.py: \S+none: no such folder; ", process.stderr)
    assert len(process.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("flag", "needed"),
    [
        ("--jit_compile", "--history_groups=1"),
        ("--strategy=tpu", "--history_groups=1"),
    ],
)
def test_flags_that_need_others_say_so(run, flag, needed):
    assert needed in error_of(run, flag, "--history_groups=2")
