import numpy as np
import pytest
import tensorflow as tf

from sar_tf.training.baselines import evaluate_baselines, split_by_task

POPULARITY = {"rec": np.array([0, 5, 3, 3, 0]), "search": np.array([0, 0, 0, 0, 1])}


def batches(**candidates):
    inputs = {task: {"candidates": np.array(c)} for task, c in candidates.items()}
    return tf.data.Dataset.from_tensors(inputs).repeat(2)


def test_most_popular_by_hand():
    data = batches(rec=[[1, 2, 3], [2, 1, 3], [2, 3, 4]], search=[[4, 1, 2]])
    popular = evaluate_baselines(data, POPULARITY, seed=0)["most_popular"]
    # Ranks 1, 3 (one above, one tied) and 2 (one tied).
    assert popular["rec"]["MRR"] == pytest.approx((1 + 1 / 3 + 1 / 2) / 3)
    assert popular["search"]["HR@1"] == 1


def test_items_that_were_never_targets_rank_last():
    data = batches(rec=[[4] + [4] * 99])
    popular = evaluate_baselines(data, POPULARITY, seed=0)["most_popular"]
    assert popular["rec"]["HR@50"] == 0


def test_random_is_uniform_and_seeded():
    data = batches(rec=np.ones((2000, 100), int))
    first = evaluate_baselines(data, POPULARITY, seed=3)["random"]["rec"]
    assert first["HR@10"] == pytest.approx(0.1, abs=0.02)
    assert first == evaluate_baselines(data, POPULARITY, seed=3)["random"]["rec"]
    assert first != evaluate_baselines(data, POPULARITY, seed=4)["random"]["rec"]


def test_split_by_task_keeps_ranking_metrics_only():
    logs = {"loss": 1.0, "rec_click_loss": 2.0, "rec_HR@1": 3.0, "rec_MRR": 4.0}
    assert split_by_task(logs, ["rec"]) == {"rec": {"HR@1": 3.0, "MRR": 4.0}}
