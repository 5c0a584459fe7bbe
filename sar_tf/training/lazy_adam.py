"""Adam that updates only the rows of embedding tables that a batch looks up."""

import keras
import tensorflow as tf

from sar_tf.training.adam import AdamL2


@keras.saving.register_keras_serializable("sar_tf")
class LazyAdamL2(AdamL2):
    """`AdamL2` whose cost does not grow with the number of rows of embedding tables.

    A row that the step looks up is updated as in `AdamL2`, where t counts all steps.
    Any other row keeps its weights and its moments m and v: neither L2 nor the momentum
    of earlier steps moves it. Rare rows therefore learn differently from `AdamL2`,
    which decays them by about lr in each step. If every step looks up every row, both
    are equal.

    Variables without look-ups of rows are updated as in `AdamL2`.

    Args:
        learning_rate, l2, …: As in `AdamL2`. Of the arguments that clip gradients, only
            `global_clipnorm` works.

    Reference:
        `torch.optim.SparseAdam` treats rows in the same way, without L2.
    """

    def __init__(self, learning_rate=1e-3, l2=0.0, epsilon=1e-8, **kwargs):
        super().__init__(learning_rate=learning_rate, l2=l2, epsilon=epsilon, **kwargs)
        if self.clipnorm or self.clipvalue:
            raise ValueError("LazyAdamL2 clips by global_clipnorm only")

    def _clip_summed(self, gradients):
        gradients = [sum_repeated_rows(gradient) for gradient in gradients]
        if self.global_clipnorm:
            gradients, _ = tf.clip_by_global_norm(gradients, self.global_clipnorm)
        return gradients

    def update_step(self, gradient, variable, corrected):
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, corrected)
            return
        rows = gradient.indices
        index = self._get_variable_index(variable)
        # Uses TensorFlow's variables: a look-up in Keras' variables reads the whole
        # table, and the assignment would then copy it.
        moments = self._momentums[index], self._velocities[index]
        arrays = variable, *(moment.value for moment in moments)
        updated = self._update(
            index,
            tf.cast(gradient.values, variable.dtype),
            *(tf.gather(array, rows) for array in arrays),
            corrected,
        )
        for array, value in zip(arrays, updated, strict=True):
            self.assign(array, tf.IndexedSlices(value, rows))


def sum_repeated_rows(gradient):
    """Gives a look-up's gradient one row for each id; returns any other unchanged.

    TensorFlow's `tf.IndexedSlices` have one row for each look-up of an id. The gradient
    of the id is the sum of these rows.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, places = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)
