"""What layers that are made of other layers have in common."""

from typing import Any

from keras import layers

from sar_tf.layers.layer_norm import LayerNormalization


class Composite(layers.Layer):
    """Base of layers that are made of dense layers and normalizations.

    The parts have the dtype policy of the whole.
    """

    def _dense(
        self, units: int, name: str, width: int | None = None, **options: Any
    ) -> layers.Dense:
        """A dense layer, whose kernel starts with Glorot's normal numbers.

        Args:
            units: Width of the output.
            name: Its name.
            width: Width of the input, if it is known already: then it is built.
            options: Others of `keras.layers.Dense`.
        """
        dense = layers.Dense(
            units,
            kernel_initializer="glorot_normal",
            name=name,
            dtype=self.dtype_policy,
            **options,
        )
        if width is not None:
            dense.build((None, width))
        return dense

    def _norm(
        self, name: str, epsilon: float, width: int | None = None
    ) -> LayerNormalization:
        """A normalization of the last axis; arguments as above."""
        norm = LayerNormalization(epsilon=epsilon, name=name, dtype=self.dtype_policy)
        if width is not None:
            norm.build((None, width))
        return norm
