"""Rankers without a model: what a trained one has to beat."""

import numpy as np

from sar_tf.metrics.ranking import RankingMetrics


def evaluate_baselines(batches, popularity, seed):
    """Scores a random and a most-popular ranker on the candidates of a split.

    Args:
        batches: What `BatchPipeline.evaluate` gives.
        popularity: {task: [num_items + 1] training targets of each item}.
        seed: Of the random scores.

    Returns:
        {"random": {task: {"HR@1": …}}, "most_popular": …}
    """
    rng = np.random.default_rng(seed)
    metrics = {"random": {}, "most_popular": {}}
    for batch in batches.as_numpy_iterator():
        for task, inputs in batch.items():
            candidates = inputs["candidates"]
            scores = {
                "random": rng.random(candidates.shape),
                "most_popular": popularity[task][candidates],
            }
            for ranker, values in scores.items():
                metrics[ranker].setdefault(task, RankingMetrics(name=task))
                metrics[ranker][task].update_state(values, inputs.get("is_target"))
    return {
        ranker: split_by_task(
            {
                name: float(value)
                for metric in by_task.values()
                for name, value in metric.result().items()
            },
            by_task,
        )
        for ranker, by_task in metrics.items()
    }


def split_by_task(logs, tasks):
    """{"rec_HR@1": x, …} -> {"rec": {"HR@1": x, …}, …}, ranking metrics only."""
    results = {task: {} for task in tasks}
    for name, value in logs.items():
        task, _, metric = name.partition("_")
        if task in results and (metric == "MRR" or "@" in metric):
            results[task][metric] = value
    return results
