"""tools.figures: the numbers of the curves by hand, and the files."""

import csv
import sys

import numpy as np
import pytest

from sar_tf.training.config import RunConfig
from sar_tf.training.run_directory import RunDirectory
from tools.figures.__main__ import learning_curves
from tools.figures.curves import make_curves
from tools.results.collect import StudyError, collect


@pytest.fixture
def study(tmp_path):
    """A method of two seeds, one of which stopped after an epoch."""
    for seed, values in ((1, ("0.25", "0.5")), (2, ("0.75",))):
        folder = RunDirectory(tmp_path / "x" / f"seed_{seed}")
        folder.start(RunConfig(dataset_dir="shop", seed=seed))
        ranks = {"user": [1], "task": ["rec"], "rank": [1]}
        folder.write_ranks("validation", {n: np.array(v) for n, v in ranks.items()})
        folder.write_metrics({})
        lines = [f"{epoch},{value}" for epoch, value in enumerate(values, start=1)]
        folder.write(folder.history, "\n".join(["epoch,val_MRR", *lines]) + "\n")
    return tmp_path / "x"


def test_mean_and_spread_over_seeds(study):
    (curve,) = make_curves(collect([str(study)], "validation"), ["val_MRR"])
    assert (curve.method, curve.epochs.tolist()) == ("x", [1, 2])
    assert curve.mean.tolist() == [0.5, 0.5]
    assert curve.low.tolist() == [0.25, 0.5] and curve.high.tolist() == [0.75, 0.5]
    assert curve.seeds.tolist() == [2, 1]


def test_files(study, tmp_path):
    pytest.importorskip("matplotlib")
    png, svg, numbers = learning_curves([str(study)], ["val_MRR"], tmp_path / "out")
    assert png.read_bytes().startswith(b"\x89PNG") and "<svg" in svg.read_text()
    with open(numbers, newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {
        "method": "x",
        "column": "val_MRR",
        "epoch": "1",
        "mean": "0.5",
        "min": "0.25",
        "max": "0.75",
        "seeds": "2",
    }
    assert sorted(path.name for path in png.parent.iterdir()) == [
        "learning_curves.csv",
        "learning_curves.png",
        "learning_curves.svg",
    ]


def test_what_cannot_be_drawn(study, tmp_path, monkeypatch):
    methods = collect([str(study)], "validation")
    with pytest.raises(StudyError, match=r"no run has AUC .* epoch, val_MRR"):
        make_curves(methods, ["AUC"])
    (study / "seed_1" / "history.csv").unlink()
    with pytest.raises(StudyError, match=r"history\.csv: No such file"):
        make_curves(methods, ["val_MRR"])
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(StudyError, match="needs matplotlib: pip install"):
        learning_curves([str(study)], ["val_MRR"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
