"""DIN's activation unit: how strongly a candidate activates each past item."""

from typing import Any

import keras
from keras import layers, ops

from sar_tf.layers.composite import Composite
from sar_tf.layers.dice import Dice
from sar_tf.layers.masking import key_mask_bias, softmax
from sar_tf.layers.slices import in_slices

NORMALIZE = ("none", "scale", "softmax")
ACTIVATIONS = ("sigmoid", "dice")


@keras.saving.register_keras_serializable("sar_tf")
class ActivationUnit(Composite):
    """A candidate's view of a history, weighted by a small network (DIN).

        a_j = MLP([v ; h_j ; v - h_j ; v * h_j])
        u(v) = sum_j a_j h_j

    over the behaviors j. The weights are not normalised: their sum is the strength of
    the interest. The kernel of the first layer is split by its inputs,
    `W [v ; h ; v - h ; v * h] = (W_a + W_c) v + (W_b - W_c) h + W_d (v * h)`:
    the largest tensors are `(B, C, N, K)`, where K is the width of the first layer.

    In inference, the layer scores `slice_size` candidates at a time. Memory does
    not grow with the number of candidates.

    Args:
        units: widths of the hidden layers.
        activation: activation of the hidden layers, "sigmoid" or "dice". `Dice`
            takes its statistics over all pairs of a candidate and a behavior.
        normalize: scale of the weights: "none"; "scale" divides them by sqrt(D);
            "softmax" takes their softmax over the history.
        slice_size: number of candidates scored at a time in inference.

    Call arguments:
        history: `(B, N, D)`, the items h.
        candidates: `(B, C, D)`, the items v.
        mask: bool `(B, N)`, true where a slot holds a behavior.

    Returns:
        `(B, C, D)`; 0 where a history is empty.

    Example:

    >>> import numpy as np
    >>> unit = ActivationUnit(units=(8, 4))
    >>> history, mask = np.ones((2, 6, 3), "float32"), np.ones((2, 6), bool)
    >>> tuple(unit(history, np.ones((2, 5, 3), "float32"), mask).shape)
    (2, 5, 3)

    Reference:
        [Zhou et al., 2018](https://arxiv.org/abs/1706.06978)
    """

    def __init__(
        self,
        units: tuple[int, ...] = (80, 40),
        activation: str = "sigmoid",
        normalize: str = "none",
        slice_size: int = 20,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if normalize not in NORMALIZE:
            raise ValueError(
                f"normalize must be one of {', '.join(NORMALIZE)}, not {normalize!r}"
            )
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {', '.join(ACTIVATIONS)}, "
                f"not {activation!r}"
            )
        if not units:
            raise ValueError("units must name one hidden layer or more")
        self.units = tuple(units)
        self.activation = activation
        self.normalize = normalize
        self.slice_size = slice_size
        self.denses = [
            self._dense(size, f"dense_{i}") for i, size in enumerate(self.units)
        ]
        self.weight_dense = self._dense(1, "weight")
        self.activations = [
            self._activation(f"activation_{i}") for i in range(len(self.units))
        ]

    def _activation(self, name):
        if self.activation == "dice":
            return Dice(name=name, dtype=self.dtype_policy)
        return layers.Activation("sigmoid", name=name, dtype=self.dtype_policy)

    def build(self, history_shape, candidates_shape=None, mask_shape=None):
        width = 4 * history_shape[-1]
        for dense, activation in zip(self.denses, self.activations, strict=True):
            dense.build((None, width))
            width = dense.units
            activation.build((None, width))
        self.weight_dense.build((None, width))

    def call(
        self, history: Any, candidates: Any, mask: Any, training: bool = False
    ) -> Any:
        if training:
            return self._read(history, candidates, mask, training)
        return in_slices(
            lambda part: self._read(history, part, mask, training=False),
            candidates,
            self.slice_size,
        )

    def _read(self, history, candidates, mask, training):
        weights = self.weights_of(history, candidates, mask, training)
        weights = ops.cast(weights, "float32")
        if self.normalize == "scale":
            weights = weights * history.shape[-1] ** -0.5
        elif self.normalize == "softmax":
            weights = softmax(weights + key_mask_bias(mask)[:, 0])
        weights = ops.cast(weights, history.dtype)
        values = history * ops.expand_dims(ops.cast(mask, history.dtype), -1)
        return ops.matmul(weights, values)

    def weights_of(
        self, history: Any, candidates: Any, mask: Any, training: bool = False
    ) -> Any:
        """a_j of each candidate, `(B, C, N)`; arguments as those of the call.

        Those of empty slots mean nothing. It sees all candidates at once.
        """
        x = self._first_layer(history, candidates)
        pairs = ops.shape(x)[:-1]
        counted = ops.broadcast_to(mask[:, None, :], pairs)
        for i, activation in enumerate(self.activations):
            x = x if i == 0 else self.denses[i](x)
            if self.activation == "dice":
                x = activation(x, counted, training=training)
            else:
                x = activation(x)
        return ops.reshape(self.weight_dense(x), pairs)

    def _first_layer(self, history, candidates):
        """`W [v ; h ; v - h ; v * h] + b` of each pair: `(B, C, N, K)`."""
        first = self.denses[0]
        of_v, of_h, of_difference, of_product = ops.split(
            ops.cast(first.kernel, self.compute_dtype), 4, axis=0
        )
        bias = ops.cast(first.bias, self.compute_dtype)
        v = ops.matmul(candidates, of_v + of_difference) + bias
        h = ops.matmul(history, of_h - of_difference)
        product = candidates[:, :, None, :] * history[:, None, :, :]
        return ops.matmul(product, of_product) + v[:, :, None, :] + h[:, None, :, :]

    def compute_output_shape(self, history_shape, candidates_shape, mask_shape=None):
        return candidates_shape

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "activation": self.activation,
            "normalize": self.normalize,
            "slice_size": self.slice_size,
        }
