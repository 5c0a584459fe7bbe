import numpy as np
import pytest
from keras import ops
from support.gradients import gradients
from support.layer_weights import numpy, randomize, round_trip

from sar_tf.layers.recency import (
    RecencyEmbedding,
    align_right,
    distance_to_newest,
    end_of_history,
    newest,
)

# Full; right-padded; left-padded; with gaps; empty.
MASK = np.array(
    [[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]], bool
)


def test_distance_to_newest():
    expected = [[3, 2, 1, 0], [1, 0], [1, 0], [1, 0], []]
    result = numpy(distance_to_newest(MASK))
    for row, mask, distances in zip(result, MASK, expected, strict=True):
        assert row[mask].tolist() == distances


def test_newest():
    x = np.arange(1.0, 41.0, dtype="float32").reshape(5, 4, 2)
    expected = [x[0, 3], x[1, 1], x[2, 3], x[3, 2], [0, 0]]
    np.testing.assert_array_equal(numpy(newest(x, MASK)), expected)


def test_newest_of_empty_histories_has_no_gradient():
    layer = RecencyEmbedding(4, 2)
    layer(MASK)
    (gradient,) = gradients(
        lambda: ops.sum(newest(layer(MASK[4:]), MASK[4:])), layer.trainable_variables
    )
    np.testing.assert_array_equal(gradient, 0)


def test_rows_with_their_newest_id_in_the_last_slot():
    ids = np.array([[1, 2, 3], [4, 5, 0], [6, 0, 0], [0, 0, 0], [7, 0, 8], [0, 9, 0]])
    expected = [[1, 2, 3], [0, 4, 5], [0, 0, 6], [0, 0, 0], [7, 0, 8], [0, 0, 9]]
    assert numpy(align_right(ids)).tolist() == expected
    assert numpy(end_of_history(ids))[:, 0].tolist() == [3, 2, 1, 0, 3, 2]
    assert numpy(align_right(ids[:0])).shape == (0, 3)


def test_embedding_counts_from_the_newest_behavior():
    layer = RecencyEmbedding(4, 2)
    layer(MASK)
    table = numpy(randomize(layer).embedding.embeddings)
    result = numpy(layer(MASK))
    np.testing.assert_array_equal(result[0], table[::-1])
    for row in (1, 2, 3):
        np.testing.assert_array_equal(result[row][MASK[row]], table[[1, 0]])


def test_wider_padding_changes_nothing():
    layer = RecencyEmbedding(4, 2)
    wide = np.pad(MASK, ((0, 0), (2, 3)))
    expected = numpy(layer(MASK))[MASK]
    np.testing.assert_array_equal(numpy(layer(wide))[wide], expected)


def test_behaviors_beyond_the_length_share_the_last_vector():
    layer = RecencyEmbedding(2, 3)
    result = numpy(layer(MASK[:1]))[0]
    np.testing.assert_array_equal(result[:3], np.tile(result[2], (3, 1)))
    assert not np.allclose(result[2], result[3])


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_shape_and_round_trip(dtype):
    layer = RecencyEmbedding(4, 3, embeddings_initializer="ones", dtype=dtype)
    result = layer(MASK)
    assert layer.compute_output_shape(MASK.shape) == tuple(result.shape) == (5, 4, 3)
    copy = round_trip(layer, MASK)
    np.testing.assert_array_equal(
        numpy(ops.cast(copy(MASK), "float32")), numpy(ops.cast(result, "float32"))
    )
