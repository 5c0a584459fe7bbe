"""HR@k, NDCG@k and MRR of one positive among sampled negatives."""

import keras
from keras import ops

from sar_tf.metrics.ranks import CUTOFFS


def rank_of_first(scores):
    """The rank of each row's first candidate: 1 + those not scored below it.

    Args:
        scores: `(B, C)`, the positive candidate's score first.

    Returns:
        int32 `(B,)`. A tie counts against the positive, and so does a NaN.
    """
    scores = ops.convert_to_tensor(scores)
    # Those behind are counted, not those at or above the positive: in a graph,
    # TensorFlow makes `>=` of `not <`, and NaN would count for the model.
    behind = ops.cast(ops.less(scores, scores[:, :1]), "int32")
    return ops.shape(scores)[1] - ops.sum(behind, axis=-1)


# keras_rs.metrics has the same measures, but it sorts and leaves ties to the sort or
# to chance: a model that gives every candidate the same score would look able. Here
# ties count against the model, and all values come from one pass over the ranks.
class RankingMetrics(keras.metrics.Metric):
    """HR@k, NDCG@k (k = 1, 5, 10, 20, 50) and MRR of a task's targets.

    A target has one positive, so with `rank = 1 + |{negatives scored >= positive}|`:

        HR@k = mean(rank <= k)
        NDCG@k = mean(1 / log2(rank + 1) where rank <= k, else 0)
        MRR = mean(1 / rank)

    A negative that cannot be compared (it or the positive is NaN) counts as scored
    above the positive. Without any target every value is 0.

    Args:
        name: Prefix of the names that `result` gives: "rec" gives "rec_HR@1", …

    Example:

    >>> metrics = RankingMetrics(name="rec")
    >>> metrics.update_state([[0.9, 0.1, 0.4], [0.3, 0.3, 0.2]])  # ranks 1 and 2
    >>> float(metrics.result()["rec_MRR"])
    0.75
    """

    def __init__(self, name="ranking", dtype=None):
        super().__init__(name=name, dtype=dtype)
        # Whole numbers add up exactly, whatever the number of targets; what ranks
        # behind the last cutoff adds to the MRR is too small to lose anything.
        self.rank_counts = self.add_variable(
            (CUTOFFS[-1],), initializer="zeros", dtype="int32", name="rank_counts"
        )
        self.num_targets = self.add_variable(
            (), initializer="zeros", dtype="int32", name="num_targets"
        )
        self.tail_reciprocal_sum = self.add_variable(
            (), initializer="zeros", dtype="float32", name="tail_reciprocal_sum"
        )

    def update_state(self, scores, is_target=None):
        """Adds targets.

        Args:
            scores: [B, C], the positive candidate's score first.
            is_target: bool [B], the rows that count; None is all.
        """
        rank = rank_of_first(scores)
        counted = ops.ones_like(rank)
        if is_target is not None:
            counted = ops.cast(is_target, "int32")
            rank = ops.where(is_target, rank, 0)  # no rank at all
        self.rank_counts.assign_add(
            ops.sum(ops.one_hot(rank - 1, CUTOFFS[-1], dtype="int32"), axis=0)
        )
        self.num_targets.assign_add(ops.sum(counted))
        reciprocal = 1.0 / ops.cast(rank, "float32")
        self.tail_reciprocal_sum.assign_add(
            ops.sum(ops.where(rank > CUTOFFS[-1], reciprocal, 0.0))
        )

    def result(self):
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
