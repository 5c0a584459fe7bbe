"""Gradients on whichever backend Keras runs."""

import keras
import numpy as np


def gradients(function, variables):
    """Gradients of a scalar `function()` by variables, as NumPy arrays.

    A variable that the function does not depend on has a gradient of zeros.
    """
    if keras.backend.backend() == "jax":
        return _jax(function, variables)
    return _tensorflow(function, variables)


def _tensorflow(function, variables):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        value = function()
    result = tape.gradient(
        value,
        [variable.value for variable in variables],
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    return [np.asarray(tf.convert_to_tensor(gradient)) for gradient in result]


def _jax(function, variables):
    import jax

    def of_values(values):
        with keras.StatelessScope(list(zip(variables, values, strict=True))):
            return function()

    result = jax.grad(of_values)([variable.value for variable in variables])
    return [np.asarray(gradient) for gradient in result]
