"""experiments/tune.py: the space, and trials that are resumed and not repeated."""

import csv
import json

import pytest
from run_folders import SMALL_MODEL

from experiments import flags
from experiments import tune as script
from experiments.flagfile import FlagError
from experiments.search import parse

BASE = ("--dataset_dir=nowhere", "--tune_dir=x", "--max_trials=2")


@pytest.mark.parametrize(
    "wrong, message",
    [
        (["--space=l2=-1"], "--space=l2: .*at least 0"),
        (["--space=l3=1"], "no such setting to search"),
        (["--space=l2=1e-4..1e-6,log"], "LOW must be below HIGH"),
        (["--space=l2=1e-6..1e-4", "--tuner=grid"], "needs values, not a range"),
        ([], "--space is missing"),
        (["--tuner=best"], "write one of random"),
    ],
)
def test_wrong_flags_are_found_before_the_first_trial(wrong, message):
    with pytest.raises(FlagError, match=message):
        parse([*BASE, *wrong])


def test_the_papers_space(repository):
    path = repository / "experiments" / "spaces" / "unisar.flags"
    space = parse([f"--flagfile={path}", *BASE, "--space=l2=0.5"]).space
    sizes = {name: len(values.texts) for name, values in space.items()}
    assert list(sizes.values()) == [10, 10, 5, 5, 2, 3, 1]


def test_a_killed_search_goes_on_and_best_flags_repeat_the_best(
    small_flags, tmp_path, monkeypatch, run, capsys
):
    pytest.importorskip("keras_tuner", reason="keras-tuner is not installed")
    from experiments import tuner

    here = [*small_flags, *SMALL_MODEL, "--epochs=1", f"--tune_dir={tmp_path / 't'}"]
    here += ["--tuner=grid", "--space=learning_rate=0.01,0.003"]
    done, train = [], tuner.train_run

    def killed(one, verbose):
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(one.name)
        train(one, verbose)

    monkeypatch.setattr(tuner, "train_run", killed)
    with pytest.raises(KeyboardInterrupt):
        script.main(here)
    again = []

    def trained(one, verbose):
        again.append(one.name)
        train(one, verbose)

    monkeypatch.setattr(tuner, "train_run", trained)
    script.main(here)
    assert len(done) == len(again) == 1 and done != again
    with open(tmp_path / "t" / "trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["learning_rate"] for row in rows] == ["0.01", "0.003"]
    best = max(rows, key=lambda row: float(row["val_NDCG@5"]))
    flagfile = f"--flagfile={tmp_path / 't' / 'best.flags'}"
    rate = flags.parse([flagfile]).config().learning_rate
    assert str(rate) == best["learning_rate"]
    run(flagfile, f"--run_dir={tmp_path / 'again'}", "--verbose=none")
    found = json.loads((tmp_path / "again" / "metrics.json").read_text())
    (own,) = found["validation"].values()
    assert own["NDCG@5"] == float(best["val_NDCG@5"])
