"""The network that scores candidates in DIN and DIEN."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from sar_tf.layers.composite import Composite
from sar_tf.layers.dice import Dice


@keras.saving.register_keras_serializable("sar_tf")
class DiceNetwork(Composite):
    """Dense layers with Dice, then one linear unit: a logit.

    Args:
        units: widths of the hidden layers.
        last_bias: whether the linear unit has a bias.

    Call arguments:
        x: `(..., K)`.
        mask: bool `(...)`, false where an input does not count in Dice's statistics.
        training: whether Dice uses the statistics of the batch.

    Returns:
        Logits `(...)`, without the sigmoid.

    Example:

    >>> import numpy as np
    >>> network = DiceNetwork(units=(8, 4))
    >>> tuple(network(np.ones((2, 5, 3), "float32"), np.ones((2, 5), bool)).shape)
    (2, 5)

    Reference:
        [Zhou et al., 2018](https://arxiv.org/abs/1706.06978)
    """

    def __init__(
        self, units: Sequence[int] = (200, 80), last_bias: bool = True, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.units = tuple(units)
        self.hidden = [self._dense(size, f"dense_{i}") for i, size in enumerate(units)]
        self.dices = [
            Dice(name=f"dice_{i}", dtype=self.dtype_policy) for i in range(len(units))
        ]
        self.last_bias = last_bias
        self.logit = self._dense(1, "logit", use_bias=last_bias)

    def build(self, x_shape, mask_shape=None):
        width = x_shape[-1]
        for dense, dice in zip(self.hidden, self.dices, strict=True):
            dense.build((None, width))
            width = dense.units
            dice.build((None, width))
        self.logit.build((None, width))

    def call(self, x: Any, mask: Any, training: bool = False) -> Any:
        for dense, dice in zip(self.hidden, self.dices, strict=True):
            x = dice(dense(x), mask, training=training)
        return ops.squeeze(self.logit(x), axis=-1)

    def compute_output_shape(self, x_shape, mask_shape=None):
        return x_shape[:-1]

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "last_bias": self.last_bias,
        }
