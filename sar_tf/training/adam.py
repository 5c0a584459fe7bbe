"""Adam with L2 in the gradient, as PyTorch computes it."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("sar_tf")
class AdamL2(keras.optimizers.Adam):
    """Adam whose gradient includes that of an L2 penalty.

    For a weight w with gradient g, at step t = 1, 2, …:

        g' = g + l2 w                        (biases: g' = g)
        m = beta_1 m + (1 - beta_1) g'
        v = beta_2 v + (1 - beta_2) g'^2
        w = w - lr (m / (1 - beta_1^t)) / (sqrt(v / (1 - beta_2^t)) + epsilon)

    Unlike decoupled decay (AdamW, or `weight_decay` of every Keras optimizer), the
    penalty passes through the moments: a row of an embedding table that no batch
    touches has g' = l2 w, which Adam scales up to steps of about lr, however small l2.
    Such gradients are small enough for the place of epsilon to matter: PyTorch, and so
    the official code, adds it after the bias correction of v, `keras.optimizers.Adam`
    before.

    Args:
        l2: Factor of a weight in its gradient; twice the factor of the squared norm in
            the loss. Biases (variables named bias or beta) have none.
        learning_rate, epsilon, …: As `keras.optimizers.Adam`.

    Reference:
        `torch.optim.Adam` with `weight_decay`.
    """

    def __init__(self, learning_rate=1e-3, l2=0.0, epsilon=1e-8, **kwargs):
        super().__init__(learning_rate=learning_rate, epsilon=epsilon, **kwargs)
        if l2 < 0:
            raise ValueError(f"l2 must not be negative, got {l2}")
        self.l2 = l2

    def build(self, var_list):
        super().build(var_list)
        # Decided here because `update_step` gets the backend's own variables, whose
        # names may differ.
        self._decays = tuple(not is_bias(variable) for variable in var_list)

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        m, v = self._momentums[index], self._velocities[index]
        gradient = ops.cast(gradient, variable.dtype)
        if self.l2 and self._decays[index]:
            gradient = ops.add(gradient, self.l2 * ops.convert_to_tensor(variable))

        step = ops.cast(self.iterations + 1, variable.dtype)
        m_correction = 1 - ops.power(ops.cast(self.beta_1, variable.dtype), step)
        v_correction = 1 - ops.power(ops.cast(self.beta_2, variable.dtype), step)
        self.assign_add(m, (gradient - m) * (1 - self.beta_1))
        self.assign_add(v, (ops.square(gradient) - v) * (1 - self.beta_2))
        scale = ops.cast(learning_rate, variable.dtype) / m_correction
        deviation = ops.sqrt(v) / ops.sqrt(v_correction) + self.epsilon
        self.assign_sub(variable, scale * m / deviation)

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}


def is_bias(variable):
    """Whether L2 leaves a variable alone: biases, those of normalizations too."""
    return "bias" in variable.name or variable.name == "beta"
