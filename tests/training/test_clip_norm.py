import keras
import numpy as np
import pytest
import tensorflow as tf

from sar_tf.training.compile import compile_model


class OneTable(keras.Model):
    """Scores an id by its row and a kernel; compiled as a run does it."""

    def __init__(self, **compile_arguments):
        super().__init__()
        self.embedding = keras.layers.Embedding(50, 4)
        self.dense = keras.layers.Dense(1)
        self(np.zeros((1,), "int32"))
        compile_model(self, l2=0.0, **compile_arguments)

    def call(self, ids):
        return self.dense(self.embedding(ids))

    def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
        return keras.ops.mean(keras.ops.square(y_pred - y))


OPTIMIZERS = pytest.mark.parametrize("embedding_optimizer", ["adam", "lazy_adam"])


@OPTIMIZERS
@pytest.mark.parametrize(("clip_norm", "scale"), [(0.0, 1.0), (1.0, 0.2), (6.0, 1.0)])
def test_clips_by_the_norm_of_all_gradients(embedding_optimizer, clip_norm, scale):
    """Row 7 has 1 + 2 = 3 and the bias 4, so the norm is 5."""
    model = OneTable(
        learning_rate=1.0,
        embedding_optimizer=embedding_optimizer,
        clip_norm=clip_norm,
    )
    model.optimizer.epsilon = 1.0  # Else the first step of Adam has no size.
    table, kernel, bias = model.trainable_variables
    before = [variable.numpy() for variable in model.trainable_variables]
    values = tf.constant([[1.0, 0, 0, 0], [2.0, 0, 0, 0]])
    model.optimizer.apply(
        [
            tf.IndexedSlices(values, tf.constant([7, 7]), (50, 4)),
            tf.zeros((4, 1)),
            tf.constant([4.0]),
        ]
    )
    row, other = 3 * scale, 4 * scale
    change = before[0] - table.numpy()
    assert change[7, 0] == pytest.approx(row / (row + 1), abs=1e-5)
    assert np.count_nonzero(change) == 1
    assert (before[2] - bias.numpy())[0] == pytest.approx(other / (other + 1), abs=1e-5)
    np.testing.assert_array_equal(kernel.numpy(), before[1])


@OPTIMIZERS
def test_learns_though_every_step_is_clipped(embedding_optimizer):
    keras.utils.set_random_seed(1)
    model = OneTable(
        learning_rate=0.1, embedding_optimizer=embedding_optimizer, clip_norm=0.01
    )
    ids = np.arange(50, dtype="int32")
    targets = (10 * (ids[:, None] % 2)).astype("float32")
    batch = tf.data.Dataset.from_tensors((ids, targets))
    losses = model.fit(batch, epochs=60, shuffle=False, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 10


def test_unknown_embedding_optimizer():
    with pytest.raises(ValueError, match="embedding_optimizer is 'sgd'"):
        OneTable(learning_rate=1.0, embedding_optimizer="sgd")
