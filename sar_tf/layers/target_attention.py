"""Target attention: a candidate's view of a history."""

from typing import Any

import keras
from keras import layers, ops

from sar_tf.layers.masking import key_mask_bias, softmax
from sar_tf.layers.products import times


@keras.saving.register_keras_serializable("sar_tf")
class TargetAttention(layers.Layer):
    """A candidate's view of a history (Eq. 8).

    `v = V^T softmax(V W e_i)`. The softmax runs over the slots of `mask`; v is
    zero if the mask is empty. `V W` does not depend on the candidate and is
    computed once for each history.

    Call arguments:
        history: `(B, N, D)`, the fused transitions V.
        candidates: `(B, C, D)`, embeddings e_i.
        mask: bool `(B, N)`.
        apart: whether to leave out the last product. A linear map of the views costs
            less on the values, where a history has fewer slots than candidates.

    Candidates `(1, C, D)` are the same for all histories.

    Returns:
        `(B, C, D)`; with `apart` the softmax `(B, C, N)` and the values `(B, N, D)`
        whose product it is.

    Reference:
        [Shi et al., 2024](https://doi.org/10.1145/3626772.3657811)
    """

    def build(self, history_shape, candidates_shape=None, mask_shape=None):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(history_shape[-1], candidates_shape[-1]),
            initializer=_leading_axis_glorot(history_shape[-1]),
        )

    def call(
        self, history: Any, candidates: Any, mask: Any, apart: bool = False
    ) -> Any:
        keys = times(history, self.kernel)
        logits = ops.matmul(candidates, ops.swapaxes(keys, -1, -2))
        logits = ops.cast(logits, "float32") + key_mask_bias(mask)[:, 0]
        weights = ops.cast(softmax(logits), history.dtype)
        values = history * ops.expand_dims(ops.cast(mask, history.dtype), -1)
        return (weights, values) if apart else ops.matmul(weights, values)

    def compute_output_shape(self, history_shape, candidates_shape, mask_shape=None):
        return (*candidates_shape[:-1], history_shape[-1])


def _leading_axis_glorot(width):
    """Glorot-normal of a `(1, D, D)` weight, the shape in the official code.

    PyTorch's fans of such a weight are D * D and D, not D and D.
    """
    return keras.initializers.RandomNormal(stddev=(2 / (width * width + width)) ** 0.5)
