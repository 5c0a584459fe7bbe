"""Batch normalization over the inputs that count."""

from typing import Any

import keras
from keras import ops

from sar_tf.layers.batch_statistics import BatchStatistics


@keras.saving.register_keras_serializable("sar_tf")
class BatchNorm(BatchStatistics):
    """`gamma (x - E[x]) / sqrt(Var[x] + epsilon) + beta` of each channel.

    Statistics are those of `BatchStatistics`.

    Args:
        momentum, epsilon: As `BatchStatistics`.

    Call arguments:
        x: `(..., K)`.
        mask: bool `(...)`, false where an input does not count in the statistics;
            None: all count.
        training: whether to use the statistics of the batch.

    Returns:
        `(..., K)`.

    Example:

    >>> import numpy as np
    >>> tuple(BatchNorm()(np.ones((2, 3, 4), "float32")).shape)
    (2, 3, 4)

    Reference:
        [Ioffe and Szegedy, 2015](https://arxiv.org/abs/1502.03167)
    """

    def __init__(self, momentum: float = 0.99, epsilon: float = 1e-3, **kwargs) -> None:
        super().__init__(momentum, epsilon, **kwargs)

    def build(self, x_shape, mask_shape=None):
        units = x_shape[-1]
        self.gamma, self.beta = (
            self.add_weight(
                name=name, shape=(units,), initializer=initializer, autocast=False
            )
            for name, initializer in (("gamma", "ones"), ("beta", "zeros"))
        )
        self.add_statistics(units)

    def call(self, x: Any, mask: Any = None, training: bool = False) -> Any:
        normalized = self.normalized(ops.cast(x, "float32"), mask, training)
        return ops.cast(normalized * self.gamma + self.beta, x.dtype)

    def compute_output_shape(self, x_shape, mask_shape=None):
        return x_shape
