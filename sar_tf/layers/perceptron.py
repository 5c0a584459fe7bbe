"""Dense layers, one after another."""

from collections.abc import Sequence
from typing import Any

import keras

from sar_tf.layers.composite import Composite
from sar_tf.layers.dropout import Dropout


@keras.saving.register_keras_serializable("sar_tf")
class Perceptron(Composite):
    """Dense layers, with dropout behind each hidden one.

    Args:
        units: widths of the hidden layers and of the last one.
        activation: activation of the hidden layers.
        last_activation: activation of the last layer.
        dropout: rate behind each hidden layer.

    Call arguments:
        x: `(..., D)`.
        training: whether dropout is applied.

    Returns:
        `(..., units[-1])`.

    Example:

    >>> import numpy as np
    >>> tuple(Perceptron(units=(8, 4))(np.ones((2, 5, 3), "float32")).shape)
    (2, 5, 4)
    """

    def __init__(
        self,
        units: Sequence[int],
        activation: str = "relu",
        last_activation: str | None = None,
        dropout: float = 0.0,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.units = tuple(units)
        self.activation = activation
        self.last_activation = last_activation
        self.dropout_rate = dropout
        self.dropout = Dropout(dropout, name="dropout", dtype=self.dtype_policy)
        activations = [activation] * (len(self.units) - 1) + [last_activation]
        self.denses = [
            self._dense(size, f"dense_{i}", activation=activations[i])
            for i, size in enumerate(self.units)
        ]

    def build(self, x_shape):
        width = x_shape[-1]
        for dense in self.denses:
            dense.build((None, width))
            width = dense.units

    def call(self, x: Any, training: bool = False) -> Any:
        for dense in self.denses[:-1]:
            x = self.dropout(dense(x), training=training)
        return self.denses[-1](x)

    def compute_output_shape(self, x_shape):
        return (*x_shape[:-1], self.units[-1])

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "activation": self.activation,
            "last_activation": self.last_activation,
            "dropout": self.dropout_rate,
        }
