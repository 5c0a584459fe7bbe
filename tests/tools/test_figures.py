"""tools.figures: the numbers of the curves by hand, and the files."""

import csv
import sys

import numpy as np
import pytest

from sar_tf.files import write_text
from sar_tf.training.config import RunConfig
from sar_tf.training.run_directory import RunDirectory
from tools.figures.__main__ import KINDS, make_parser
from tools.figures.curves import make_curves
from tools.figures.effects import make_effects
from tools.figures.kinds import DRAW, draw_effects, draw_learning_curves
from tools.results.collect import StudyError, collect


def options(*arguments):
    return make_parser().parse_args(arguments)


@pytest.fixture
def study(tmp_path):
    """A method of two seeds, one of which stopped after an epoch."""
    for seed, values in ((1, ("0.25", "0.5")), (2, ("0.75",))):
        folder = RunDirectory(tmp_path / "x" / f"seed_{seed}")
        folder.start(RunConfig(dataset_dir="shop", seed=seed))
        ranks = {"user": [1], "task": ["rec"], "rank": [1]}
        folder.write_ranks("test", {n: np.array(v) for n, v in ranks.items()})
        folder.write_metrics({})
        lines = [f"{epoch},{value}" for epoch, value in enumerate(values, start=1)]
        write_text(folder.history, "\n".join(["epoch,val_MRR", *lines]) + "\n")
    return tmp_path / "x"


def test_every_kind_is_described():
    assert list(DRAW) == list(KINDS)


def test_mean_and_spread_over_seeds(study):
    (curve,) = make_curves(collect([str(study)], "test"), ["val_MRR"])
    assert (curve.method, curve.epochs.tolist()) == ("x", [1, 2])
    assert curve.mean.tolist() == [0.5, 0.5]
    assert curve.low.tolist() == [0.25, 0.5] and curve.high.tolist() == [0.75, 0.5]
    assert curve.seeds.tolist() == [2, 1]


def test_files(study, tmp_path):
    pytest.importorskip("matplotlib")
    chosen = options("--columns=val_MRR", f"--output={tmp_path / 'out'}")
    png, svg, numbers = draw_learning_curves([str(study)], chosen)
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
    methods = collect([str(study)], "test")
    with pytest.raises(StudyError, match=r"no run has AUC .* epoch, val_MRR"):
        make_curves(methods, ["AUC"])
    (study / "seed_1" / "history.csv").unlink()
    with pytest.raises(StudyError, match=r"history\.csv: No such file"):
        make_curves(methods, ["val_MRR"])
    chosen = options("--columns=val_MRR", f"--output={tmp_path / 'out'}")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(StudyError, match="needs matplotlib: pip install"):
        draw_learning_curves([str(study)], chosen)
    assert not (tmp_path / "out").exists()


def make_alpha_run(path, weight, seed, rank, **settings):
    folder = RunDirectory(path)
    path.mkdir()
    weights = {"query_item_weight": weight}
    folder.start(
        RunConfig(dataset_dir="x", seed=seed, hyperparameters=weights, **settings)
    )
    folder.write_ranks(
        "test",
        {"user": np.array([1]), "task": np.array(["rec"]), "rank": np.array([rank])},
    )
    folder.write_metrics({})


@pytest.fixture
def alphas(tmp_path):
    """Two seeds of alpha 0.1, one of 0.01."""
    for index, (weight, seed, rank) in enumerate(
        ((0.1, 1, 1), (0.1, 2, 2), (0.01, 1, 4))
    ):
        make_alpha_run(tmp_path / f"run{index}", weight, seed, rank)
    return tmp_path


def test_effects_of_a_setting_by_hand(alphas):
    methods = collect([str(alphas)], "test")
    (effect,) = make_effects(methods, "query_item_weight", ["MRR"])
    assert (effect.task, effect.values, effect.seeds) == ("rec", [0.01, 0.1], [1, 2])
    assert effect.mean == [0.25, 0.75]
    assert (effect.low, effect.high) == ([0.25, 0.5], [0.25, 1.0])


def test_files_of_effects(alphas):
    pytest.importorskip("matplotlib")
    chosen = options("--setting=query_item_weight", f"--output={alphas / 'out'}")
    paths = draw_effects([str(alphas)], chosen)
    assert [path.name for path in paths] == [
        f"effects_query_item_weight.{kind}" for kind in ("png", "svg", "csv")
    ]
    assert paths[2].read_text().splitlines()[1] == (
        f"rec,NDCG@5,0.01,{1 / np.log2(5)},{1 / np.log2(5)},{1 / np.log2(5)},1"
    )


def test_runs_that_show_no_effect(alphas):
    methods = collect([str(alphas)], "test")
    with pytest.raises(StudyError, match=r"differ in query_item_weight too; .* l2 and"):
        make_effects(methods, "l2", ["MRR"])
    with pytest.raises(StudyError, match=r"setting=model: .* has no such number"):
        make_effects(methods[:1], "model", ["MRR"])
    with pytest.raises(StudyError, match="--setting is missing"):
        draw_effects([str(alphas)], options())
