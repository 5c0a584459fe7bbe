"""Ranks of a run's test targets among the whole catalogue."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from support.layer_weights import randomize

import sar_tf
from sar_tf.data.records import read_blocks
from sar_tf.data.schema import parse_records
from sar_tf.metrics.ranks import metrics_of_ranks
from sar_tf.training import checkpoint, full
from sar_tf.training.config import ConfigError, RunConfig
from sar_tf.training.full_ranks import NOT_FOUND
from sar_tf.training.prepare import prepared
from sar_tf.training.run_directory import RunDirectory


def make_run(folder, dataset_dir, model, scale=0.5, **hyperparameters):
    """A run of random weights; nothing is trained."""
    config = RunConfig(
        model=model,
        dataset_dir=str(dataset_dir),
        evaluation_batch_size=100,
        max_rec_history=5,
        max_search_history=4,
        hyperparameters=hyperparameters,
    ).check()
    run = RunDirectory(folder)
    run.start(config)
    with prepared(config) as (made, _):
        randomize(made, scale=scale)
        checkpoint.save(run.best, made, {"epoch": 3, "epoch_step": 0})
    return folder


def full_ranks(run_dir):
    with np.load(run_dir / "full" / "ranks" / "test.npz") as ranks:
        return dict(ranks)


@pytest.fixture(scope="module")
def run_dir(simulated_dataset, tmp_path_factory):
    """A ranker with a retrieval head."""
    folder = tmp_path_factory.mktemp("runs") / "din"
    sizes = {"embedding_dim": 4, "hidden_dim": 6, "retrieval_weight": 0.1}
    return make_run(folder, simulated_dataset, "din", scale=0.2, **sizes)


@pytest.fixture(scope="module")
def evaluated(run_dir):
    """What is returned, and what ranks/test.npz has."""
    return sar_tf.evaluate_full(run_dir), full_ranks(run_dir)


@pytest.fixture(scope="module")
def products_dir(simulated_dataset, tmp_path_factory):
    """A model of products, of both tasks."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    return make_run(folder, simulated_dataset, "support.tiny_model:Tiny")


def brute_force(run_dir, task):
    """scores, products, is_rival, positives of every target and every item."""
    model, data = sar_tf.load_run(run_dir)
    needs = {*model.needs, "user"}
    data = dataclasses.replace(data, num_groups=1, needs=tuple(needs))
    known = {}
    for serialized in read_blocks(data.dataset, None):
        block = parse_records(serialized, ("user", "user_items"))
        items = np.split(block["user_items"], block["user_items_splits"][1:-1])
        known |= dict(zip(block["user"].numpy().tolist(), items, strict=True))
    every = np.arange(model.spec.num_items + 1, dtype=np.int32)
    vectors = keras.ops.convert_to_numpy(model.item_vectors(every))
    found = []
    for batch in data.test():
        rows = batch[task]["is_target"].numpy()
        own = {**batch[task], "candidates": np.tile(every, (len(rows), 1))}
        scores = model.score(task, {**batch, task: own}).numpy()
        products = model.target_vectors(task, batch).numpy() @ vectors.T
        positives = batch[task]["candidates"].numpy()[:, 0]
        is_rival = np.ones(scores.shape, bool)
        is_rival[:, 0] = False
        for row, user in enumerate(batch[task]["user"].numpy().tolist()):
            is_rival[row, known.get(user, [])] = False
        arrays = (scores, products, is_rival, positives)
        found.append([array[rows] for array in arrays])
    return [np.concatenate(arrays) for arrays in zip(*found, strict=True)]


def bounds(values, positives, is_rival, rounding):
    """The ranks where rounding helps the positive, and where it hurts."""
    own = values[np.arange(len(values)), positives][:, None]
    return [
        1 + (is_rival & (values >= own + shift)).sum(axis=1)
        for shift in (rounding, -rounding)
    ]


def of_task(ranks, task, name):
    return ranks[name][ranks["task"] == task]


def assert_are_ranks(found, values, positives, is_rival):
    low, high = bounds(values, positives, is_rival, 1e-6)
    assert ((low <= found) & (found <= high)).all()
    assert (low == high).mean() > 0.5 and len(np.unique(found)) > 15


def test_ranks_are_those_of_brute_force(run_dir, evaluated):
    scores, products, is_rival, positives = brute_force(run_dir, "rec")
    ranks = evaluated[1]
    assert_are_ranks(ranks["rank"], scores, positives, is_rival)
    assert_are_ranks(ranks["retrieval_rank"], products, positives, is_rival)


def test_only_what_retrieval_finds_is_ranked(run_dir, evaluated, monkeypatch):
    monkeypatch.setattr(full, "NUM_RANKED", 20)
    metrics = sar_tf.evaluate_full(run_dir)["rec"]
    found = full_ranks(run_dir)["ranked_rank"]
    scores, products, is_rival, positives = brute_force(run_dir, "rec")
    expected = []
    for row, positive in enumerate(positives):
        rivals = np.flatnonzero(is_rival[row])
        near = rivals[np.argsort(-products[row, rivals])][:19]
        if (products[row, rivals] >= products[row, positive]).sum() >= 20:
            expected.append(NOT_FOUND)
        else:
            above = scores[row, near] >= scores[row, positive]
            expected.append(1 + above.sum())
    assert (found == expected).mean() > 0.97
    assert 0 < (found == NOT_FOUND).mean() < 1
    assert metrics["retrieve_then_rank"] == metrics_of_ranks(found)
    share = np.mean(found != NOT_FOUND)
    assert metrics["retrieve_then_rank"]["HR@20"] == pytest.approx(share)


@pytest.mark.parametrize("task", ["rec", "search"])
def test_products_need_no_second_stage(products_dir, task):
    metrics = sar_tf.evaluate_full(products_dir)[task]
    scores, _, is_rival, positives = brute_force(products_dir, task)
    ranks = full_ranks(products_dir)
    found = of_task(ranks, task, "rank")
    assert_are_ranks(found, scores, positives, is_rival)
    assert metrics["retrieve_then_rank"] == metrics["ranker"] == metrics_of_ranks(found)
    recalls = {f"recall@{k}": pytest.approx(np.mean(found <= k)) for k in (100, 1000)}
    assert metrics["retrieval"] == recalls


def test_the_stored_candidates_give_the_sampled_metrics(products_dir):
    metrics = sar_tf.evaluate_full(products_dir)
    sampled = sar_tf.evaluate_run(products_dir)["test"]
    for task in ("rec", "search"):
        for name, value in sampled[task].items():
            assert metrics[task]["sampled"][name] == pytest.approx(value, abs=0.01)
    ranks = full_ranks(products_dir)
    with np.load(products_dir / "ranks" / "test.npz") as stored:
        np.testing.assert_array_equal(stored["user"], ranks["user"])
        assert (stored["rank"] == ranks["sampled_rank"]).mean() > 0.98
    assert (ranks["sampled_rank"] <= ranks["rank"]).all()


def test_what_is_written(run_dir, evaluated):
    metrics, ranks = evaluated
    folder = run_dir / "full"
    assert {path.name for path in folder.iterdir()} == {
        ".lock",
        "metrics.json",
        "ranks",
    }
    assert metrics["epoch"] == 3 and metrics["sample"] is None
    number = of_task(ranks, "rec", "rank").size
    assert metrics["rec"]["targets"] == number
    by_retrieval = of_task(ranks, "rec", "retrieval_rank")
    assert metrics["rec"]["retrieval"]["recall@100"] == np.mean(by_retrieval <= 100)
    best = metrics["rec"]["retrieval"]
    assert 0 < best["recall_of_best_10@100"] < best["recall_of_best_10@1000"] == 1


def test_a_killed_evaluation_goes_on(run_dir, evaluated, monkeypatch):
    """The rest of the steps is scored, and the result is the same."""
    ranked = full._rank_step
    calls = []

    def killed(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return ranked(*arguments)

    monkeypatch.setattr(full, "_rank_step", killed)
    before = (run_dir / "full" / "metrics.json").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        sar_tf.evaluate_full(run_dir)
    assert (run_dir / "full" / "metrics.json").read_bytes() == before
    steps = len(list((run_dir / "full" / "parts").glob("0*.npz")))
    assert steps == 1
    calls.clear()
    monkeypatch.setattr(full, "_rank_step", lambda *a: calls.append(a) or ranked(*a))
    assert sar_tf.evaluate_full(run_dir) == evaluated[0]
    assert len(calls) == 3  # Of four steps.


def test_a_sample(run_dir, evaluated):
    metrics = sar_tf.evaluate_full(run_dir, sample=30)
    assert metrics == sar_tf.evaluate_full(run_dir, sample=30)
    assert json.loads((run_dir / "full" / "metrics.json").read_text()) == metrics
    assert metrics["sample"] == 30
    assert metrics["rec"]["targets"] == 30
    ranks = full_ranks(run_dir)
    every = set(zip(*(evaluated[1][n] for n in ("task", "user", "rank")), strict=True))
    drawn = set(zip(*(ranks[n] for n in ("task", "user", "rank")), strict=True))
    assert drawn <= every
    with pytest.raises(ConfigError, match="1 target or more, not 0"):
        sar_tf.evaluate_full(run_dir, sample=0)
