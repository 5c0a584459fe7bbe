import concurrent.futures
import multiprocessing

import keras
import numpy as np
import pytest
import tensorflow as tf

from sar_tf.layers.embeddings import Embedding
from sar_tf.training.adam import AdamL2
from sar_tf.training.lazy_adam import LazyAdamL2, sum_repeated_rows


def numpy_lazy_adam(table, steps, lr, l2, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
    """The update row by row, in float64; a step is [(row, gradient), …]."""
    table = np.array(table, np.float64)
    m, v = np.zeros_like(table), np.zeros_like(table)
    for t, step in enumerate(steps, start=1):
        for row in {row for row, _ in step}:
            gradient = sum(np.array(g) for r, g in step if r == row)
            gradient = gradient + l2 * table[row]
            m[row] = beta_1 * m[row] + (1 - beta_1) * gradient
            v[row] = beta_2 * v[row] + (1 - beta_2) * gradient**2
            m_hat, v_hat = m[row] / (1 - beta_1**t), v[row] / (1 - beta_2**t)
            table[row] -= lr * m_hat / (np.sqrt(v_hat) + epsilon)
    return table, m, v


def slices(step, num_rows):
    rows, values = zip(*step, strict=True)
    return tf.IndexedSlices(
        tf.constant(values, tf.float32), tf.constant(rows), (num_rows, len(values[0]))
    )


TABLE = np.array([[0.5, -1.0], [2.0, 0.01], [-0.3, 0.7], [0.2, -0.4]], np.float32)
# Rows occur twice in a step, row 0 pauses for two steps, row 3 is never looked up.
STEPS = (
    [(0, (1.0, -2.0)), (1, (0.5, 0.5)), (0, (0.25, 3.0))],
    [(1, (-1.0, 0.3))],
    [(2, (0.1, 0.2)), (1, (2.0, -0.7)), (2, (-0.3, 0.4)), (2, (0.5, 0.6))],
    [(0, (-0.5, 1.5))],
)


def test_equals_lazy_adam_by_hand():
    table = keras.Variable(TABLE, name="embeddings")
    optimizer = LazyAdamL2(learning_rate=0.01, l2=0.1)
    for number, step in enumerate(STEPS, start=1):
        optimizer.apply([slices(step, 4)], [table])
        expected = numpy_lazy_adam(TABLE, STEPS[:number], 0.01, 0.1)
        arrays = table, *optimizer._momentums, *optimizer._velocities
        for array, value in zip(arrays, expected, strict=True):
            np.testing.assert_allclose(array.numpy(), value, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(table.numpy()[3], TABLE[3])


def fit_embedding(optimizer, rows, jit_compile=False):
    """The table before, its gradients and the table after a step for each of `rows`."""
    model = keras.Sequential([keras.Input((2,), dtype="int32")])
    model.add(Embedding(4, 2))
    model.add(keras.layers.GlobalAveragePooling1D())
    model.compile(optimizer, loss="mse", jit_compile=jit_compile)
    tables = [model.get_weights()[0]]
    for ids in rows:
        model.train_on_batch(np.array(ids), np.ones((len(ids), 2)))
        tables.append(model.get_weights()[0])
    return tables


@pytest.mark.parametrize("jit_compile", [False, True])
def test_equals_lazy_adam_by_hand_in_a_model(jit_compile):
    rows = [[[1, 1], [1, 2]], [[2, 2], [2, 3]], [[3, 1], [3, 3]]]
    optimizer = LazyAdamL2(learning_rate=0.01, l2=0.1)
    tables = fit_embedding(optimizer, rows, jit_compile)
    steps = []
    for table, ids in zip(tables, rows, strict=False):
        # d/dw of the mean over 2 targets of width 2 of (mean of 2 rows - 1)^2
        errors = [(table[pair].mean(axis=0) - 1) / 4 for pair in ids]
        steps.append(
            [(i, e) for pair, e in zip(ids, errors, strict=True) for i in pair]
        )
    expected, _, _ = numpy_lazy_adam(tables[0], steps, lr=0.01, l2=0.1)
    np.testing.assert_allclose(tables[-1], expected, atol=1e-6)
    for before, after, ids in zip(tables, tables[1:], rows, strict=False):
        changed = np.flatnonzero((before != after).any(axis=1))
        assert set(changed) == {i for pair in ids for i in pair}


def test_no_table_is_read_whole():
    """TensorFlow copies a variable for each such read, once rows of it are assigned."""
    embedding = Embedding(70, 2)
    embedding.build()
    table = embedding.embeddings
    optimizer = LazyAdamL2()
    optimizer.build([table])

    @tf.function
    def step(ids):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(embedding(ids)) + tf.reduce_mean(embedding(ids + 1))
        optimizer.apply(tape.gradient(loss, [table.value]), [table])

    graph = step.get_concrete_function(tf.constant([1, 5, 5])).graph
    types = [op.type for op in graph.get_operations()]
    assert types.count("ResourceGather") == 5  # 2 look-ups; weights and both moments
    reads = [op for op in graph.get_operations() if op.type == "ReadVariableOp"]
    used = [op.outputs[0] for op in reads if op.outputs[0].consumers()]
    assert used and all(read.shape.rank == 0 for read in used)


def test_equals_adam_where_every_row_is_looked_up():
    rows = [[[0, 1], [2, 3]], [[3, 3], [2, 2], [1, 1], [0, 0]], [[1, 0], [3, 2]]]
    tables = []
    for make_optimizer in (AdamL2, LazyAdamL2):
        keras.utils.set_random_seed(1)
        optimizer = make_optimizer(learning_rate=0.01, l2=0.1, global_clipnorm=0.3)
        tables.append(fit_embedding(optimizer, rows))
    np.testing.assert_allclose(tables[0], tables[1], atol=1e-6)


def test_variables_that_are_not_looked_up_are_dense():
    kernel, gradient = keras.Variable(TABLE, name="kernel"), np.zeros((4, 2), "float32")
    other = keras.Variable(TABLE, name="kernel")
    LazyAdamL2(l2=0.1).apply([tf.constant(gradient)], [kernel])
    AdamL2(l2=0.1).apply([tf.constant(gradient)], [other])
    assert np.all(kernel.numpy() != TABLE)
    np.testing.assert_array_equal(kernel.numpy(), other.numpy())


def test_sums_repeated_rows():
    gradient = sum_repeated_rows(slices(STEPS[2], 4))
    np.testing.assert_array_equal(gradient.indices, [2, 1])
    np.testing.assert_allclose(gradient.values, [[0.3, 1.2], [2.0, -0.7]], rtol=1e-6)
    dense = tf.ones((2, 2))
    assert sum_repeated_rows(dense) is dense


def weights_on_replicas(num_replicas):
    """Weights after three steps with a global batch of 4."""
    if num_replicas > 1:  # needs a process that has not looked for devices yet
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * num_replicas,
        )
    devices = [f"CPU:{number}" for number in range(num_replicas)]
    with tf.distribute.MirroredStrategy(devices).scope():
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((2,), dtype="int32")])
        model.add(Embedding(6, 3))
        model.add(keras.layers.Flatten())
        model.add(keras.layers.Dense(1))
        optimizer = LazyAdamL2(learning_rate=0.1, l2=0.1, global_clipnorm=0.05)
        model.compile(optimizer, loss="mse")
    inputs = np.array([[1, 2], [2, 3], [2, 2], [4, 1]])  # both replicas have 1 and 2
    targets = np.arange(4.0)[:, None]
    model.fit(inputs, targets, batch_size=4, epochs=3, shuffle=False, verbose=0)
    return model.get_weights()


def test_two_replicas_equal_one():
    """Rows are summed, and clipped, over the global batch."""
    with concurrent.futures.ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn")
    ) as process:
        two = process.submit(weights_on_replicas, 2).result()
    for on_one, on_two in zip(weights_on_replicas(1), two, strict=True):
        np.testing.assert_allclose(on_one, on_two, atol=1e-6)


def test_config_round_trip():
    optimizer = LazyAdamL2(learning_rate=0.5, l2=1e-5, global_clipnorm=2.0)
    restored = LazyAdamL2.from_config(optimizer.get_config())
    assert (restored.l2, restored.global_clipnorm) == (1e-5, 2.0)


@pytest.mark.parametrize("name", ["clipnorm", "clipvalue"])
def test_other_clipping_is_refused(name):
    with pytest.raises(ValueError, match="global_clipnorm only"):
        LazyAdamL2(**{name: 1.0})
