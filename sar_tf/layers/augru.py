"""AUGRU: a GRU that follows what matters to a candidate."""

from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("sar_tf")
class AUGRU(layers.Layer):
    """GRU with an attentional update gate, for several candidates at once (DIEN).

    From g_0 = 0, at each step t,

        u = sigmoid(W_u s_t + U_u g_{t-1} + b_u)
        r = sigmoid(W_r s_t + U_r g_{t-1} + b_r)
        c = tanh(W s_t + r * (U g_{t-1}) + b)
        g_t = (1 - a_t u) * g_{t-1} + a_t u * c

    The update gate u lets the new state in, as in the paper; that of Keras and PyTorch
    keeps the old one. A step with a_t = 0 leaves the state as it is.

    The steps' inputs are projected once, and no array has the axes of candidates,
    steps and width together: the largest are `(B, C, 3 D)` and `(B, N, 3 D + C)`. In
    training, the gradient needs the states of all steps.

    Args:
        units: width D of the state.

    Call arguments:
        x: `(B, N, K)`, the steps' inputs s.
        attention: `(B, C, N)`, each candidate's a; 0 in empty slots.

    Returns:
        `(B, C, D)`, the last states.

    Example:

    >>> import numpy as np
    >>> x, attention = np.ones((2, 6, 3), "float32"), np.full((2, 5, 6), 0.5)
    >>> tuple(AUGRU(units=4)(x, attention).shape)
    (2, 5, 4)

    Reference:
        [Zhou et al., 2019](https://arxiv.org/abs/1809.03672)
    """

    def __init__(self, units: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.input_dense = layers.Dense(
            3 * units,
            kernel_initializer="glorot_uniform",
            name="input",
            dtype=self.dtype_policy,
        )
        self.cell = _Cell(units, name="cell", dtype=self.dtype_policy)
        self.rnn = layers.RNN(self.cell, name="rnn", dtype=self.dtype_policy)

    def build(self, x_shape, attention_shape=None):
        self.input_dense.build(x_shape)
        self.rnn.build((None, None, 3 * self.units + 1))

    def call(self, x: Any, attention: Any) -> Any:
        rows, candidates, _ = ops.shape(attention)
        projected = self.input_dense(x)
        attention = ops.cast(ops.transpose(attention, (0, 2, 1)), projected.dtype)
        state = ops.zeros((rows, candidates, self.units), projected.dtype)
        steps = ops.concatenate([projected, attention], axis=-1)
        return self.rnn(steps, initial_state=state)

    def compute_output_shape(self, x_shape, attention_shape):
        return (*attention_shape[:2], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class _Cell(layers.Layer):
    """One step: `[W_u s, W_r s, W s, a]` `(B, 3 D + C)` and states `(B, C, D)`."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def build(self, steps_shape):
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(self.units, 3 * self.units),
            initializer="orthogonal",
        )

    def call(self, inputs, states):
        state = states[0]
        projected = inputs[:, None, : 3 * self.units]
        of_u, of_r, of_c = ops.split(projected, 3, axis=-1)
        recurrent = ops.matmul(state, self.recurrent_kernel)
        own_u, own_r, own_c = ops.split(recurrent, 3, axis=-1)
        update = inputs[:, 3 * self.units :, None] * ops.sigmoid(of_u + own_u)
        new = ops.tanh(of_c + ops.sigmoid(of_r + own_r) * own_c)
        state = state + update * (new - state)
        return state, [state]
