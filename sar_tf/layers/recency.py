"""Recency: slots of a history counted from its newest behavior."""

from typing import Any

import keras
from keras import KerasTensor, layers, ops

from sar_tf.layers.embeddings import Embedding


def distance_to_newest(mask: KerasTensor) -> KerasTensor:
    """Number of behaviors after each slot.

    It does not depend on the padding before or after a history.

    Args:
        mask: bool `(B, N)`, true where a slot holds a behavior, oldest first.

    Returns:
        int32 `(B, N)`: 0 at the newest behavior.
    """
    count = ops.cumsum(ops.cast(mask, "int32"), axis=1)
    return count[:, -1:] - count


def newest(x: KerasTensor, mask: KerasTensor) -> KerasTensor:
    """The vector of the newest behavior of each history.

    Args:
        x: `(B, N, D)`.
        mask: bool `(B, N)`.

    Returns:
        `(B, D)`; 0 where a history is empty.
    """
    is_newest = ops.logical_and(mask, distance_to_newest(mask) == 0)
    return ops.einsum("bn,bnd->bd", ops.cast(is_newest, x.dtype), x)


def end_of_history(ids: KerasTensor) -> KerasTensor:
    """1 + the slot of the newest id of each row; 0 where a row is empty.

    Args:
        ids: int `(B, N)`, 0 in empty slots.

    Returns:
        int32 `(B, 1)`.
    """
    ends = ops.where(ids > 0, 1 + ops.arange(ops.shape(ids)[1]), 0)
    return ops.max(ends, axis=1, keepdims=True, initial=0)


def align_right(ids: KerasTensor) -> KerasTensor:
    """Rows of ids with the newest one in the last slot.

    The authors of SASRec and FMLP-Rec have such rows.

    Args:
        ids: int `(B, N)`, 0 in empty slots.

    Returns:
        `(B, N)`: each row turned until no empty slot is behind its newest id.
    """
    width = ops.shape(ids)[1]
    slots = ops.mod(ops.arange(width) + end_of_history(ids), width)
    return ops.take_along_axis(ids, slots, axis=1)


@keras.saving.register_keras_serializable("sar_tf")
class RecencyEmbedding(layers.Layer):
    """Learned embedding of the number of behaviors after a slot.

    The last slot of a left-padded row of `length` slots and the newest slot of a
    right-padded row get the same vector. Behaviors that lie further back than
    `length` slots share the last vector.

    Args:
        length: number of embeddings, the length of the longest history.
        units: width D.
        embeddings_initializer: as in `keras.layers.Embedding`.

    Call arguments:
        mask: bool `(B, N)`, true where a slot holds a behavior, oldest first.

    Returns:
        `(B, N, D)`. Empty slots get a vector too: mask it out.

    Example:

    >>> import numpy as np
    >>> positions = RecencyEmbedding(length=30, units=8)
    >>> mask = np.array([[True, True, False], [True, False, False]])
    >>> tuple(positions(mask).shape)
    (2, 3, 8)
    """

    def __init__(
        self,
        length: int,
        units: int,
        embeddings_initializer: Any = "glorot_normal",
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.length = length
        self.units = units
        self.embedding = Embedding(
            length,
            units,
            embeddings_initializer=embeddings_initializer,
            name="embedding",
            dtype=self.dtype_policy,
        )

    def build(self, mask_shape):
        self.embedding.build(mask_shape)

    def call(self, mask: Any) -> Any:
        distance = distance_to_newest(mask)
        return self.embedding(ops.minimum(distance, self.length - 1))

    def compute_output_shape(self, mask_shape):
        return (*mask_shape, self.units)

    def get_config(self):
        initializer = self.embedding.embeddings_initializer
        return {
            **super().get_config(),
            "length": self.length,
            "units": self.units,
            "embeddings_initializer": keras.initializers.serialize(initializer),
        }
