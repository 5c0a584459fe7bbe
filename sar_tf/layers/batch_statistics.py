"""Mean and variance of a batch's inputs, and their moving averages."""

from typing import Any

from keras import layers, ops


class BatchStatistics(layers.Layer):
    """Base of layers that scale each channel of the last axis by its statistics.

    In training they are those of the batch; in inference their moving averages, which
    are weights of the layer. Both are computed in float32. With several replicas, each
    uses the statistics of its own rows, and the moving averages take the mean of the
    replicas' statistics.

    Args:
        momentum: share of a moving average that a training step keeps.
        epsilon: added to the variance.
    """

    def __init__(self, momentum: float = 0.99, epsilon: float = 1e-8, **kwargs) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum
        self.epsilon = epsilon

    def add_statistics(self, units: int) -> None:
        """Makes the moving averages of so many channels."""
        self.moving_mean = self._statistic("moving_mean", units, "zeros")
        self.moving_variance = self._statistic("moving_variance", units, "ones")

    def _statistic(self, name, units, initializer):
        return self.add_weight(
            name=name,
            shape=(units,),
            initializer=initializer,
            dtype="float32",
            autocast=False,
            trainable=False,
            aggregation="mean",
        )

    def normalized(self, x: Any, mask: Any, training: bool) -> Any:
        """`(x - mean) / sqrt(variance + epsilon)` of float32 `(..., K)`.

        Args:
            x: float32 `(..., K)`.
            mask: bool `(...)`, false where an input does not count; None: all count.
            training: whether to use the statistics of the batch.
        """
        if training:
            mean, variance = self._batch_statistics(x, mask)
        else:
            mean, variance = self.moving_mean, self.moving_variance
        return (x - mean) * ops.rsqrt(variance + self.epsilon)

    def _batch_statistics(self, s, mask):
        """Mean and variance of the batch; updates the moving averages."""
        s = ops.reshape(s, (-1, s.shape[-1]))
        if mask is None:
            weights = ops.ones_like(s[:, :1])
        else:
            weights = ops.reshape(ops.cast(mask, s.dtype), (-1, 1))
        total = ops.sum(weights)
        count = ops.maximum(total, 1.0)
        mean = ops.sum(s * weights, axis=0) / count
        variance = ops.sum(ops.square(s - mean) * weights, axis=0) / count
        # A batch in which nothing counts does not change the moving averages.
        rate = (1.0 - self.momentum) * ops.cast(total > 0, s.dtype)
        for average, value in (
            (self.moving_mean, mean),
            (self.moving_variance, variance),
        ):
            value = ops.stop_gradient(value)
            average.assign(average + (value - average) * rate)
        return mean, variance

    def get_config(self):
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "epsilon": self.epsilon,
        }
