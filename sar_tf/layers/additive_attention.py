"""Additive attention that pools a set of vectors."""

from typing import Any

import keras
from keras import ops

from sar_tf.layers.composite import Composite
from sar_tf.layers.masking import masked_softmax


@keras.saving.register_keras_serializable("sar_tf")
class AdditiveAttention(Composite):
    """One vector of many: their mean by learned weights.

        a_t = v . tanh(W x_t + b),  y = sum_t softmax_t(a_t) x_t

    over the slots of the mask. The order of the vectors does not matter.

    Args:
        units: width of W x.

    Call arguments:
        x: `(B, N, D)`.
        mask: bool `(B, N)`, true where a slot holds a vector.

    Returns:
        y `(B, D)` and the weights, float32 `(B, N)`; both are 0 where no slot holds a
        vector.

    Example:

    >>> import numpy as np
    >>> attention = AdditiveAttention(units=4)
    >>> y, weights = attention(np.ones((2, 6, 3), "float32"), np.ones((2, 6), bool))
    >>> tuple(y.shape), tuple(weights.shape)
    ((2, 3), (2, 6))

    Reference:
        [Wu et al., 2019](https://doi.org/10.18653/v1/D19-1493)
    """

    def __init__(self, units: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.hidden = self._dense(units, "hidden", activation="tanh")
        self.logit = self._dense(1, "logit", use_bias=False)

    def build(self, x_shape, mask_shape=None):
        self.hidden.build((None, x_shape[-1]))
        self.logit.build((None, self.units))

    def call(self, x: Any, mask: Any) -> tuple[Any, Any]:
        logits = ops.squeeze(self.logit(self.hidden(x)), axis=-1)
        weights = masked_softmax(ops.cast(logits, "float32"), mask)
        return ops.einsum("bn,bnd->bd", ops.cast(weights, x.dtype), x), weights

    def compute_output_shape(self, x_shape, mask_shape=None):
        return (x_shape[0], x_shape[-1]), x_shape[:-1]

    def get_config(self):
        return {**super().get_config(), "units": self.units}
