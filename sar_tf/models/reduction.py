"""The one place where the losses of rows become one number."""

from collections.abc import Iterable
from typing import Any

from keras import ops

from sar_tf.layers import replicas


def mean_of_terms(terms: Iterable[tuple[Any, Any]]) -> tuple[Any, Any]:
    """Sum of the weighted means of a loss's terms, and the sum of all weights.

    With several replicas a mean is over the rows of all, and the result is this
    replica's part of it: see `sar_tf.layers.replicas`.
    """
    loss, total_weight = 0.0, 0.0
    for values, weights in terms:
        values = ops.cast(values, "float32")
        weights = ops.cast(weights, "float32")
        weight = replicas.active().sum(ops.sum(weights))
        loss += ops.sum(values * weights) / ops.maximum(weight, 1.0)
        total_weight += weight
    return loss, total_weight
