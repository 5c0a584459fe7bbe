"""HR@k, NDCG@k and MRR of one positive among sampled negatives."""

from typing import Any

import keras
from keras import ops

from sar_tf.metrics.ranks import CUTOFFS


def rank_of_first(scores: Any) -> Any:
    """The rank of each row's first candidate: 1 + the number of others not below it.

    Args:
        scores: `(B, C)`, the positive candidate's score first.

    Returns:
        int32 `(B,)`. A tie counts against the positive, and so does a NaN.
    """
    scores = ops.convert_to_tensor(scores)
    # Counts the candidates below the positive. In a graph, TensorFlow rewrites `not <`
    # as `>=`, and a count of the others would take NaN in favour of the model.
    behind = ops.cast(ops.less(scores, scores[:, :1]), "int32")
    return ops.shape(scores)[1] - ops.sum(behind, axis=-1)


# keras_rs.metrics has the same measures, but the sort or chance decides its ties: a
# model that gives all candidates the same score looks good. Here ties count against the
# model, and all values come from one pass over the ranks.
class RankingMetrics(keras.metrics.Metric):
    """HR@k, NDCG@k (k = 1, 5, 10, 20, 50) and MRR of a task's targets.

    A target has one positive, so with `rank = 1 + |{negatives scored >= positive}|`:

        HR@k = mean(rank <= k)
        NDCG@k = mean(1 / log2(rank + 1) where rank <= k, else 0)
        MRR = mean(1 / rank)

    A negative that cannot be compared (it or the positive is NaN) counts as scored
    above the positive. Without targets every value is 0.

    Args:
        name: Prefix of the names in `result`: "rec" gives "rec_HR@1", …

    Example:

    >>> metrics = RankingMetrics(name="rec")
    >>> metrics.update_state([[0.9, 0.1, 0.4], [0.3, 0.3, 0.2]])  # ranks 1 and 2
    >>> float(metrics.result()["rec_MRR"])
    0.75
    """

    def __init__(self, name: str = "ranking", dtype: str | None = None) -> None:
        super().__init__(name=name, dtype=dtype)
        # Integers add up exactly for any number of targets. Ranks after the last
        # cutoff add so little to the MRR that a float sum is exact enough.
        self.rank_counts = self.add_variable(
            (CUTOFFS[-1],), initializer="zeros", dtype="int32", name="rank_counts"
        )
        self.num_targets = self.add_variable(
            (), initializer="zeros", dtype="int32", name="num_targets"
        )
        self.tail_reciprocal_sum = self.add_variable(
            (), initializer="zeros", dtype="float32", name="tail_reciprocal_sum"
        )

    def update_state(self, scores: Any, is_target: Any = None) -> None:
        """Adds targets.

        Args:
            scores: `(B, C)`, the positive candidate's score first.
            is_target: bool `(B,)`, true for rows that count; None is all.
        """
        rank = rank_of_first(scores)
        counted = ops.ones_like(rank)
        if is_target is not None:
            counted = ops.cast(is_target, "int32")
            rank = ops.where(is_target, rank, 0)  # Rank 0 counts nowhere.
        self.rank_counts.assign_add(
            ops.sum(ops.one_hot(rank - 1, CUTOFFS[-1], dtype="int32"), axis=0)
        )
        self.num_targets.assign_add(ops.sum(counted))
        reciprocal = 1.0 / ops.cast(rank, "float32")
        self.tail_reciprocal_sum.assign_add(
            ops.sum(ops.where(rank > CUTOFFS[-1], reciprocal, 0.0))
        )

    def result(self) -> dict[str, Any]:
        """Returns {"<name>_HR@1": scalar, …, "<name>_MRR": scalar}."""
        counts = ops.cast(self.rank_counts, "float32")
        num_targets = ops.maximum(ops.cast(self.num_targets, "float32"), 1.0)
        ranks = ops.arange(1, CUTOFFS[-1] + 1, dtype="float32")
        gains = counts / ops.log2(ranks + 1.0)
        results = {}
        for k in CUTOFFS:
            results[f"{self.name}_HR@{k}"] = ops.sum(counts[:k]) / num_targets
        for k in CUTOFFS:
            results[f"{self.name}_NDCG@{k}"] = ops.sum(gains[:k]) / num_targets
        reciprocal_sum = ops.sum(counts / ranks) + self.tail_reciprocal_sum
        results[f"{self.name}_MRR"] = reciprocal_sum / num_targets
        return results
