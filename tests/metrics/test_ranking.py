import math

import keras
import numpy as np
import pytest

from sar_tf.metrics.ranking import CUTOFFS, RankingMetrics


def results_of(*batches):
    metrics = RankingMetrics(name="rec")
    for scores in batches:
        metrics.update_state(np.asarray(scores, "float32"))
    return {
        name.removeprefix("rec_"): float(value)
        for name, value in metrics.result().items()
    }


def scores_with_rank(rank, num_candidates=100):
    """Scores whose positive has exactly `rank`."""
    negatives = np.full(num_candidates - 1, 0.1)
    negatives[: rank - 1] = 0.9
    return np.concatenate([[0.5], negatives])


def test_values_by_hand():
    results = results_of([scores_with_rank(rank) for rank in (1, 3, 12, 60)])
    assert results["HR@1"] == pytest.approx(1 / 4)
    assert results["HR@5"] == results["HR@10"] == pytest.approx(2 / 4)
    assert results["HR@20"] == results["HR@50"] == pytest.approx(3 / 4)
    assert results["NDCG@1"] == pytest.approx(1 / 4)
    assert results["NDCG@5"] == pytest.approx((1 + 1 / 2) / 4)
    assert results["NDCG@20"] == pytest.approx((1 + 1 / 2 + 1 / math.log2(13)) / 4)
    assert results["MRR"] == pytest.approx((1 + 1 / 3 + 1 / 12 + 1 / 60) / 4)


def test_names():
    expected = [f"HR@{k}" for k in CUTOFFS] + [f"NDCG@{k}" for k in CUTOFFS] + ["MRR"]
    assert list(results_of([[1.0, 0.0]])) == expected


def test_ties_count_against_the_model():
    results = results_of([[0.5, 0.5, 0.5, 0.1]])  # rank 3
    assert results["HR@1"] == 0
    assert results["HR@5"] == 1
    assert results["MRR"] == pytest.approx(1 / 3)


def test_constant_scorer_gets_nothing():
    results = results_of(np.ones((7, 100)))
    assert all(results[f"HR@{k}"] == 0 for k in CUTOFFS)
    assert results["MRR"] == pytest.approx(1 / 100)


@pytest.mark.parametrize(
    ("scores", "rank"),
    [([math.nan, 0.1, 0.2], 3), ([0.5, math.nan, 0.2], 2), ([math.nan] * 3, 3)],
)
def test_nan_counts_against_the_model(scores, rank):
    assert results_of([scores])["MRR"] == pytest.approx(1 / rank)


def test_infinite_scores():
    assert results_of([[math.inf, 0.0]])["HR@1"] == 1
    assert results_of([[math.inf, math.inf]])["HR@1"] == 0


def test_empty_batches_change_nothing():
    batch = [scores_with_rank(2)]
    empty = np.zeros((0, 100))
    assert results_of(empty, batch, empty) == results_of(batch)
    assert set(results_of().values()) == {0.0}
    assert set(results_of(empty).values()) == {0.0}


def test_split_into_batches_does_not_matter():
    scores = np.random.default_rng(0).normal(size=(90, 100))
    assert results_of(scores) == pytest.approx(results_of(*np.split(scores, 9)))


def test_random_scores_against_a_sort():
    scores = np.random.default_rng(1).normal(size=(500, 100))
    ranks = np.argsort(np.argsort(-scores, axis=1), axis=1)[:, 0] + 1
    results = results_of(scores)
    assert results["HR@10"] == pytest.approx(np.mean(ranks <= 10))
    assert results["MRR"] == pytest.approx(np.mean(1 / ranks))
    ndcg = np.mean(np.where(ranks <= 50, 1 / np.log2(ranks + 1), 0))
    assert results["NDCG@50"] == pytest.approx(ndcg)


def test_four_million_targets_stay_exact():
    metrics = RankingMetrics(name="rec")
    metrics.rank_counts.assign([2_000_001] + [0] * 49)
    metrics.num_targets.assign(4_000_001)
    metrics.update_state([[1.0, 0.0]])
    assert int(metrics.rank_counts[0]) == 2_000_002
    assert float(metrics.result()["rec_HR@1"]) == pytest.approx(2_000_002 / 4_000_002)


class Ranker(keras.Model):
    """Its inputs are the scores."""

    def __init__(self):
        super().__init__()
        self.ranking = RankingMetrics(name="rec")

    def call(self, inputs):
        return inputs

    def compute_loss(self, *args, **kwargs):
        return keras.ops.zeros(())

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        self.ranking.update_state(y_pred)
        return self.get_metrics_result()


def evaluate(scores):
    ranker = Ranker()
    ranker.compile()
    scores = np.asarray(scores, "float32")
    return ranker.evaluate(scores, batch_size=2, verbose=0, return_dict=True)


def test_in_evaluate_each_value_has_a_name():
    logs = evaluate(np.eye(3))
    assert logs["rec_HR@1"] == pytest.approx(1 / 3)
    assert "rec_NDCG@5" in logs


@pytest.mark.parametrize("scores", [[math.nan, 0.1], [0.5, math.nan], [math.nan] * 2])
def test_nan_counts_against_the_model_in_a_graph_too(scores):
    assert evaluate([scores] * 3)["rec_HR@1"] == 0


def test_reset():
    metrics = RankingMetrics(name="rec")
    metrics.update_state([[1.0, 0.0]])
    metrics.reset_state()
    assert float(metrics.result()["rec_HR@1"]) == 0
