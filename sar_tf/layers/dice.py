"""Dice: an activation that adapts to the distribution of its inputs."""

from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("sar_tf")
class Dice(layers.Layer):
    """Activation of DIN: PReLU whose bend follows the mean of the inputs.

    For each channel of the last axis,

        p(s) = sigmoid((s - E[s]) / sqrt(Var[s] + epsilon))
        f(s) = p(s) s + (1 - p(s)) alpha s

    with a learned alpha that starts at 0. In training, E and Var are the statistics of
    the batch; in inference, their moving averages, which are weights of the layer. Both
    are computed in float32.

    With several replicas, each uses the statistics of its own rows, and the moving
    averages take the mean of the replicas' statistics.

    Args:
        momentum: share of a moving average that a training step keeps.
        epsilon: added to the variance.

    Call arguments:
        x: `(..., K)`.
        mask: bool `(...)`, false where an input does not count in the statistics;
            None: all count.
        training: whether to use the statistics of the batch.

    Returns:
        `(..., K)`.

    Example:

    >>> import numpy as np
    >>> dice = Dice()
    >>> tuple(dice(np.ones((2, 3, 4), "float32")).shape)
    (2, 3, 4)

    Reference:
        [Zhou et al., 2018](https://arxiv.org/abs/1706.06978)
    """

    def __init__(self, momentum: float = 0.99, epsilon: float = 1e-8, **kwargs) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum
        self.epsilon = epsilon

    def build(self, x_shape, mask_shape=None):
        units = x_shape[-1]
        self.alpha = self.add_weight(
            name="alpha", shape=(units,), initializer="zeros", autocast=False
        )
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

    def call(self, x: Any, mask: Any = None, training: bool = False) -> Any:
        s = ops.cast(x, "float32")
        if training:
            mean, variance = self._batch_statistics(s, mask)
        else:
            mean, variance = self.moving_mean, self.moving_variance
        p = ops.sigmoid((s - mean) * ops.rsqrt(variance + self.epsilon))
        alpha = ops.cast(self.alpha, "float32")
        return ops.cast(s * (alpha + (1.0 - alpha) * p), x.dtype)

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

    def compute_output_shape(self, x_shape, mask_shape=None):
        return x_shape

    def get_config(self):
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "epsilon": self.epsilon,
        }
