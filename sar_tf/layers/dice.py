"""Dice: an activation that adapts to the distribution of its inputs."""

from typing import Any

import keras
from keras import ops

from sar_tf.layers.batch_statistics import BatchStatistics


@keras.saving.register_keras_serializable("sar_tf")
class Dice(BatchStatistics):
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

    def build(self, x_shape, mask_shape=None):
        units = x_shape[-1]
        self.alpha = self.add_weight(
            name="alpha", shape=(units,), initializer="zeros", autocast=False
        )
        self.add_statistics(units)

    def call(self, x: Any, mask: Any = None, training: bool = False) -> Any:
        s = ops.cast(x, "float32")
        p = ops.sigmoid(self.normalized(s, mask, training))
        alpha = ops.cast(self.alpha, "float32")
        return ops.cast(s * (alpha + (1.0 - alpha) * p), x.dtype)

    def compute_output_shape(self, x_shape, mask_shape=None):
        return x_shape
