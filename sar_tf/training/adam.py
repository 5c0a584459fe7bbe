"""Adam with L2 in the gradient, as PyTorch computes it."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("sar_tf")
class AdamL2(keras.optimizers.Adam):
    """Adam whose gradient includes the gradient of an L2 penalty.

    For a weight w with gradient g, at step t = 1, 2, …:

        g' = g + l2 w                        (biases: g' = g)
        m = beta_1 m + (1 - beta_1) g'
        v = beta_2 v + (1 - beta_2) g'^2
        w = w - lr (m / (1 - beta_1^t)) / (sqrt(v / (1 - beta_2^t)) + epsilon)

    Unlike decoupled decay (AdamW, or `weight_decay` of Keras optimizers), the penalty
    passes through the moments. A row of an embedding table that no batch touches has
    g' = l2 w, and Adam scales this up to steps of about lr, even for a small l2. For
    such small gradients the place of epsilon matters: PyTorch, and so the official
    code, adds it after the bias correction of v, `keras.optimizers.Adam` before it.

    Args:
        l2: Factor of a weight in its gradient; twice the factor of the squared norm in
            the loss. Biases (variables named bias or beta) have no penalty.
        learning_rate, epsilon, …: As in `keras.optimizers.Adam`. `global_clipnorm`
            limits the norm of all gradients g together (of the global batch, without
            the penalty).

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

    def _clip_gradients(self, grads):
        # `_clip_summed` clips TensorFlow's gradients, after the sum over replicas.
        if keras.backend.backend() == "tensorflow":
            return grads
        return super()._clip_gradients(grads)

    def _all_reduce_sum_gradients(self, grads_and_vars):
        """Sums gradients over replicas; only TensorFlow's optimizers have it."""
        summed = super()._all_reduce_sum_gradients(grads_and_vars)
        gradients, variables = zip(*summed, strict=True)
        return list(zip(self._clip_summed(gradients), variables, strict=True))

    def _clip_summed(self, gradients):
        # The gradient of a look-up has one row for each occurrence of an id. Keras
        # would square these rows, for the norm and for v, instead of their sum.
        return super()._clip_gradients([_dense(gradient) for gradient in gradients])

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        """Computes the bias corrections, which all variables share, once in a step.

        With lr' = lr sqrt(1 - beta_2^t) / (1 - beta_1^t) and
        epsilon' = epsilon sqrt(1 - beta_2^t), w = w - lr' m / (sqrt(v) + epsilon').
        """
        step = ops.cast(self.iterations + 1, "float32")
        m_correction = 1 - ops.power(float(self.beta_1), step)
        v_correction = ops.sqrt(1 - ops.power(float(self.beta_2), step))
        learning_rate = ops.cast(learning_rate, "float32") * v_correction / m_correction
        corrected = learning_rate, self.epsilon * v_correction
        super()._backend_update_step(grads, trainable_variables, corrected)

    def update_step(self, gradient, variable, corrected):
        index = self._get_variable_index(variable)
        moments = self._momentums[index], self._velocities[index]
        gradient = ops.cast(gradient, variable.dtype)
        if keras.backend.backend() == "tensorflow":
            self._fused_update(index, gradient, variable, *moments, corrected)
            return
        arrays = variable, *moments
        updated = self._update(index, gradient, *arrays, corrected)
        for array, value in zip(arrays, updated, strict=True):
            self.assign(array, value)

    def _fused_update(self, index, gradient, variable, m, v, corrected):
        """Updates a variable by one operation of the graph instead of about twenty."""
        import tensorflow as tf

        learning_rate, epsilon = corrected
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=m.value.handle,
            v=v.value.handle,
            beta1_power=0.0,  # The learning rate is corrected already.
            beta2_power=0.0,
            lr=learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=epsilon,
            grad=self._with_l2(index, gradient, variable),
        )

    def _update(self, index, gradient, weight, m, v, corrected):
        """The next w, m and v of the variable `index`, or of some of its rows."""
        learning_rate, epsilon = corrected
        gradient = self._with_l2(index, gradient, weight)
        m = m + (gradient - m) * (1 - self.beta_1)
        v = v + (ops.square(gradient) - v) * (1 - self.beta_2)
        return weight - learning_rate * m / (ops.sqrt(v) + epsilon), m, v

    def _with_l2(self, index, gradient, weight):
        if self.l2 and self._decays[index]:
            return gradient + self.l2 * weight
        return gradient

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}


def _dense(gradient):
    """A gradient of TensorFlow's as one tensor, the rows of each id added up.

    On a CPU this takes a third of the time that `tf.convert_to_tensor` takes, which
    looks at all rows once in each thread.
    """
    import tensorflow as tf  # Imported here: training on JAX does not need it.

    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    places = tf.cast(gradient.indices[:, None], "int64")
    shape = tf.cast(gradient.dense_shape, "int64")
    return tf.scatter_nd(places, gradient.values, shape)


def is_bias(variable):
    """Whether a variable is a bias, also of a normalization, and has no L2 penalty."""
    return "bias" in variable.name or variable.name == "beta"
