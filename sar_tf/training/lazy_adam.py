"""Adam that leaves the rows of embedding tables alone that a batch does not touch."""

import keras
import tensorflow as tf

from sar_tf.training.adam import AdamL2


@keras.saving.register_keras_serializable("sar_tf")
class LazyAdamL2(AdamL2):
    """`AdamL2` whose cost does not grow with the number of an embedding table's rows.

    A row that the step looks up is updated as by `AdamL2`, with t the number of all
    steps. Any other row keeps its weights and its moments m and v: neither L2 nor the
    momentum of former steps moves it. So rare rows learn otherwise than by `AdamL2`,
    which decays them by about lr a step; where every step touches every row the two
    are equal.

    Variables that are not looked up by rows are updated as by `AdamL2`.

    Args:
        learning_rate, l2, …: As `AdamL2`; gradients can be clipped by
            `global_clipnorm` only.

    Reference:
        `torch.optim.SparseAdam` treats rows alike, but knows no L2.
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
        # TensorFlow's variables, since a look-up in Keras' reads the whole table, which
        # the assignment would then have to copy.
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
    """A look-up's gradient with one row for each id; any other as it is.

    TensorFlow gives one row for each time that an id was looked up, in
    `tf.IndexedSlices`; the gradient of the id is their sum.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, places = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)
