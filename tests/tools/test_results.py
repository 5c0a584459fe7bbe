"""tools.results on run folders with given ranks: numbers by hand."""

import csv
import io
import sys

import numpy as np
import pytest

from sar_tf.data.dataset_info import DatasetInfo
from sar_tf.training.config import RunConfig
from sar_tf.training.run_directory import RunDirectory
from tools.results.__main__ import make_parser, make_texts
from tools.results.collect import StudyError, collect
from tools.results.published import published
from tools.results.significance import (
    compare_by_seed,
    compare_by_target,
    values_of_ranks,
)


def make_run(path, ranks, seed=1, users=(1, 2, 3), **settings):
    """A finished run's folder with these ranks of the recommendation task."""
    folder = RunDirectory(path)
    path.mkdir(parents=True)
    folder.start(RunConfig(dataset_dir="/data/shop", seed=seed, **settings))
    arrays = {"user": users, "task": ["rec"] * len(ranks), "rank": ranks}
    folder.write_ranks("test", {name: np.array(v) for name, v in arrays.items()})
    folder.write_metrics({})
    return path


@pytest.fixture
def study(tmp_path):
    """SASRec and UniSAR with two seeds, GRU4Rec with one."""
    make_run(tmp_path / "a1", [1, 2, 4], 1, model="sasrec")
    make_run(tmp_path / "a2", [2, 2, 4], 2, model="sasrec")
    make_run(tmp_path / "b1", [1, 1, 2], 1, model="unisar")
    make_run(tmp_path / "b2", [1, 1, 1], 2, model="unisar")
    make_run(tmp_path / "c1", [9, 9, 9], 1, model="gru4rec")
    return tmp_path


def options(*arguments):
    return make_parser().parse_args(arguments)


def test_values_of_targets():
    ranks = np.array([1, 3, 6])
    assert values_of_ranks(ranks, "HR@5").tolist() == [1, 1, 0]
    assert values_of_ranks(ranks, "NDCG@5").tolist() == [1, 0.5, 0]
    assert values_of_ranks(ranks, "MRR").tolist() == [1, 1 / 3, 1 / 6]
    with pytest.raises(StudyError, match="AUC is no metric"):
        values_of_ranks(ranks, "AUC")


def test_markdown_by_hand(study):
    text = make_texts([str(study)], options("--metrics=MRR,HR@1"))["results.md"]
    # SASRec's MRR: (1 + 1/2 + 1/4) / 3 = 0.58333 and (1/2 + 1/2 + 1/4) / 3 = 0.41667:
    # mean 0.5, deviation 0.16667 / sqrt(2) = 0.1179.
    # UniSAR's: 2.5 / 3 and 1: mean 0.91667, deviation 0.1179.
    assert text.splitlines()[:7] == [
        "**shop, recommendation**",
        "",
        "| Method | MRR | HR@1 |",
        "| --- | ---: | ---: |",
        "| sasrec | <u>0.5000</u> ± 0.1179 | <u>0.1667</u> ± 0.2357 |",
        "| unisar | **0.9167** ± 0.1179 | **0.8333** ± 0.2357 |",
        "| gru4rec | 0.1111 | 0.0000 |",
    ]


def test_metrics_in_rows_and_latex(study):
    text = make_texts([str(study)], options("--rows=metrics", "--metrics=MRR"))
    assert "| Metric | sasrec | unisar | gru4rec |" in text["results.md"]
    found = text["results.tex"]
    assert r"MRR & \underline{0.5000} $\pm$ 0.1179 & \textbf{0.9167}" in found
    assert found.count("{") == found.count("}") and "±" not in found


def test_t_tests_by_hand(study):
    """t is the mean of the differences by its standard error."""
    special = pytest.importorskip("scipy.special")
    arguments = [str(study)]
    chosen = options("--against=sasrec", "--metrics=MRR", "--level=0.05")
    text = make_texts(arguments, chosen)["results.csv"]
    rows = {row["method"]: row for row in csv.DictReader(io.StringIO(text))}
    # Over targets UniSAR has 1, 1, 3/4 and SASRec 3/4, 1/2, 1/4, means of seeds:
    # differences 1/4, 1/2, 1/2, whose mean is 5/12 and deviation sqrt(1/48).
    row = rows["unisar"]
    assert float(row["target_difference"]) == pytest.approx(5 / 12)
    t = (5 / 12) / np.sqrt(1 / 48 / 3)
    assert float(row["target_p"]) == pytest.approx(2 * special.stdtr(2, -t))
    # Over seeds: differences 1/4 and 7/12; t has one degree of freedom (Cauchy).
    t = (5 / 12) / (1 / 6)
    expected = 1 - 2 / np.pi * np.arctan(t)
    assert float(row["seed_p"]) == pytest.approx(expected)
    assert row["target_pairs"] == "3" and row["seed_pairs"] == "2"
    # One shared seed makes no test, and the chosen method is not tested.
    assert rows["gru4rec"]["seed_p"] == "" and rows["sasrec"]["target_p"] == ""


def test_marks(study):
    pytest.importorskip("scipy")
    chosen = options("--against=sasrec", "--metrics=MRR", "--level=0.05")
    text = make_texts([str(study)], chosen)["results.md"]
    assert "**0.9167*** ± 0.1179" in text and "| 0.1111 |" in text
    assert "paired t-test over targets" in text and "p < 0.05" in text
    assert "p $<$ 0.05" in make_texts([str(study)], chosen)["results.tex"]
    chosen = options("--against=unisar", "--metrics=MRR", "--level=0.05")
    text = make_texts([str(study)], chosen)["results.md"]
    assert "<u>0.5000†</u>" in text and "| 0.1111† |" in text
    chosen = options("--against=sasrec", "--metrics=MRR", "--test=seed")
    assert "**0.9167** ±" in make_texts([str(study)], chosen)["results.md"]


def test_a_model_of_both_tasks_against_one_of_one(tmp_path):
    """Only the targets of the table's task are paired."""
    pytest.importorskip("scipy")
    make_run(tmp_path / "one", [1, 2, 4])
    both = RunDirectory(make_run(tmp_path / "both", [1, 1, 2]))
    tasks = np.array(["rec"] * 3 + ["search"] * 2)
    users = np.array([1, 2, 3, 1, 3])
    ranks = np.array([1, 1, 2, 9, 9])
    both.write_ranks("test", {"user": users, "task": tasks, "rank": ranks})
    methods = collect([f"A={tmp_path / 'one'}", f"B={tmp_path / 'both'}"], "test")
    test = compare_by_target(*methods, "rec", "HR@1")
    assert (test.difference, test.pairs) == (pytest.approx(-1 / 3), 3)


def test_equal_methods_do_not_differ(tmp_path):
    for name in "ab":
        for seed in (1, 2):
            make_run(tmp_path / name / str(seed), [1, 2, 3], seed)
    methods = collect([f"A={tmp_path / 'a'}", f"B={tmp_path / 'b'}"], "test")
    test = compare_by_seed(*methods, "rec", "MRR")
    assert (test.difference, test.p, test.pairs) == (0, 1, 2)
    text = make_texts([f"A={tmp_path / 'a'}", f"B={tmp_path / 'b'}"], options())
    assert "**0" not in text["results.md"]  # Neither is the best.


def test_the_same_difference_in_every_pair_makes_no_t_test(tmp_path):
    for seed in (1, 2):
        make_run(tmp_path / "a" / f"seed_{seed}", [1, 2, 3 + seed], seed)
        make_run(tmp_path / "b" / f"seed_{seed}", [2, 2, 3 + seed], seed)
    test = compare_by_seed(*collect([str(tmp_path)], "test"), "rec", "MRR")
    assert test.difference == pytest.approx(1 / 6) and np.isnan(test.p)


def test_methods_are_named_by_what_differs(tmp_path):
    make_run(tmp_path / "a", [1], hyperparameters={"fusion": "paper"})
    make_run(tmp_path / "b", [1], hyperparameters={"fusion": "reference"}, l2=0.5)
    names = [method.name for method in collect([str(tmp_path)], "test")]
    assert names == [
        "unisar l2=1e-05 fusion=paper",
        "unisar l2=0.5 fusion=reference",
    ]


def test_methods_of_a_sweep_have_its_names(tmp_path):
    for seed in (1, 2):
        make_run(tmp_path / "whole" / f"seed_{seed}", [1], seed)
        make_run(tmp_path / "without_mask" / f"seed_{seed}", [2], seed)
    methods = collect([str(tmp_path)], "test")
    assert [(m.name, list(m.runs)) for m in methods] == [
        ("whole", [1, 2]),
        ("without_mask", [1, 2]),
    ]


def test_runs_that_make_no_table(study, tmp_path):
    with pytest.raises(StudyError, match="both have seed 1"):
        collect([f"x={study}"], "test")
    with pytest.raises(StudyError, match=r"validation\.npz is missing"):
        collect([str(study)], "validation")
    with pytest.raises(StudyError, match="holds no finished run"):
        collect([str(study / "a1" / "ranks")], "test")
    with pytest.raises(StudyError, match=r"against=din: no such method; .* sasrec"):
        make_texts([str(study)], options("--against=din"))
    make_run(study / "other", [1, 2, 3], 3, users=(1, 2, 4), model="sasrec")
    with pytest.raises(StudyError, match="rank different targets"):
        make_texts([str(study)], options("--against=unisar"))


def test_published_numbers_are_of_the_same_dataset():
    info = DatasetInfo("amazon", "", 1, "", 0, 0, 0, 0, 0, {}, 0, 0, 99, {}, {}, 0, [])
    assert published(info) == {}
    info.counts = {"users": 22363, "items": 12101}
    assert published(info)["rec"]["SASRec (in S3-Rec)"]["NDCG@5"] == 0.2848
    info.counts = {"users": 68223, "items": 61934}
    assert published(info)["search"]["UniSAR (in UniSAR)"]["HR@1"] == 0.5343
    assert "MRR" not in published(info)["rec"]["UniSAR (in UniSAR)"]
    info.num_candidates = 49
    assert published(info) == {}


def test_without_scipy_the_error_says_what_to_install(study, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    assert "sasrec" in make_texts([str(study)], options())["results.md"]
    with pytest.raises(StudyError, match=r'pip install -e "\.\[study\]"'):
        make_texts([str(study)], options("--against=sasrec"))
