"""The ranking metrics of given ranks, with NumPy alone."""

from collections.abc import Mapping

import numpy as np

CUTOFFS = (1, 5, 10, 20, 50)


def rank_of_first(scores: np.ndarray) -> np.ndarray:
    """The rank of the first candidate of each row.

    The rank is 1 + the number of other candidates with a score above or equal. Ties
    and NaN scores count against the first candidate.

    Args:
        scores: `(B, C)`.

    Returns:
        int32 `(B,)`.

    Example:

    >>> rank_of_first(np.array([[0.9, 0.1, 0.4], [0.3, 0.3, 0.2]])).tolist()
    [1, 2]
    """
    scores = np.asarray(scores)
    is_behind = scores < scores[:, :1]
    return scores.shape[1] - np.sum(is_behind, axis=1, dtype=np.int32)


def metrics_of_ranks(ranks: np.ndarray) -> dict[str, float]:
    """HR@k and NDCG@k (k = 1, 5, 10, 20, 50) and MRR of targets' ranks.

    `sar_tf.metrics.ranking.RankingMetrics` defines them. Without targets every value
    is 0.

    Args:
        ranks: Integers from 1, one for each target.

    Example:

    >>> metrics_of_ranks(np.array([1, 2]))["MRR"]
    0.75
    """
    ranks = np.asarray(ranks, np.int64)
    number = max(len(ranks), 1)
    gains = 1 / np.log2(ranks + 1.0)
    metrics = {f"HR@{k}": float(np.sum(ranks <= k) / number) for k in CUTOFFS}
    for k in CUTOFFS:
        metrics[f"NDCG@{k}"] = float(np.sum(gains[ranks <= k]) / number)
    metrics["MRR"] = float(np.sum(1 / ranks) / number)
    return metrics


def metrics_by_task(ranks: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """The metrics of each task of a run's ranks/{validation,test}.npz.

    Args:
        ranks: "user", "task" ("rec", "search") and "rank" of every target.

    Returns:
        {task: {"HR@1": value, …}}
    """
    tasks = np.asarray(ranks["task"])
    return {
        str(task): metrics_of_ranks(ranks["rank"][tasks == task])
        for task in dict.fromkeys(tasks.tolist())
    }
