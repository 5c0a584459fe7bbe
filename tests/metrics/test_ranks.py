import math

import numpy as np
import pytest

from sar_tf.metrics import ranking, ranks


@pytest.mark.parametrize("low", [0.0, math.nan])
def test_ranks_are_those_of_the_metrics(low):
    scores = np.random.default_rng(0).integers(0, 5, (50, 9)).astype("float32")
    scores[3] = low
    scores[5, 0] = low
    expected = np.asarray(ranking.rank_of_first(scores))
    np.testing.assert_array_equal(ranks.rank_of_first(scores), expected)


def test_metrics_are_those_of_keras():
    scores = np.random.default_rng(0).random((200, 100)).astype("float32")
    metric = ranking.RankingMetrics(name="rec")
    metric.update_state(scores)
    found = ranks.metrics_of_ranks(ranks.rank_of_first(scores))
    for name, value in metric.result().items():
        assert found[name.removeprefix("rec_")] == pytest.approx(float(value)), name


def test_no_targets():
    assert set(ranks.metrics_of_ranks(np.zeros(0, int)).values()) == {0.0}


def test_by_task():
    found = ranks.metrics_by_task(
        {"task": np.array(["rec", "search", "rec"]), "rank": np.array([1, 4, 3])}
    )
    assert found["rec"]["MRR"] == pytest.approx(2 / 3)
    assert found["search"]["HR@5"] == 1
