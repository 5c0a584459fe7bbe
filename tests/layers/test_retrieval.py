import keras
import numpy as np
import pytest
from keras import ops
from support.gradients import gradients
from support.layer_weights import numpy, randomize

from sar_tf.layers.retrieval import RetrievalHead

ITEMS = np.array([3, 1, 3, 2, 0, 4], "int32")
IS_TARGET = np.array([1, 1, 1, 1, 1, 0], bool)
COUNTS = np.array([0, 6, 1, 3, 0])  # Training targets of items 0 to 4.


@pytest.fixture
def head():
    head = RetrievalHead(3, num_items=4, tasks=("rec",))
    head.set_popularity({"rec": COUNTS})
    return head


@pytest.fixture
def vectors():
    rng = np.random.default_rng(1)
    return [rng.normal(size=(6, 3)).astype("float32") for _ in range(2)]


def expected_loss(targets, positives):
    """The values of rows 0 to 3, row by row: the others are no targets."""
    counts = np.maximum(COUNTS, 1)
    shares = counts / counts.sum()
    values = []
    for row in range(4):
        logits = [
            targets[row] @ positives[other] - np.log(shares[ITEMS[other]])
            for other in range(4)
            if other == row or ITEMS[other] != ITEMS[row]
        ]
        own = targets[row] @ positives[row] - np.log(shares[ITEMS[row]])
        values.append(np.log(np.sum(np.exp(logits))) - own)
    return values


def test_loss_by_hand(head, vectors):
    values, weights = head.loss("rec", *vectors, ITEMS, IS_TARGET)
    np.testing.assert_array_equal(numpy(weights), [1, 1, 1, 1, 0, 0])
    np.testing.assert_allclose(numpy(values)[:4], expected_loss(*vectors), atol=1e-5)
    assert np.isfinite(numpy(values)).all()


def test_popular_items_are_no_worse_negatives(head, vectors):
    """A batch has an item as often as it is popular: its logit is lowered by that."""
    log_shares = numpy(head.log_shares["rec"])
    np.testing.assert_allclose(np.exp(log_shares).sum(), 1.0, atol=1e-6)
    np.testing.assert_allclose(np.exp(log_shares[1] - log_shares[3]), 2.0, atol=1e-5)
    np.testing.assert_allclose(log_shares[4], log_shares[2], atol=1e-6)


def test_a_batch_of_one_and_none_has_no_negatives(head, vectors):
    for size in (1, 0):
        rows = [x[:size] for x in vectors]
        values, _ = head.loss("rec", *rows, ITEMS[:size], IS_TARGET[:size])
        np.testing.assert_allclose(numpy(values), np.zeros(size), atol=1e-6)


def test_an_accidental_hit_has_no_gradient(head, vectors):
    targets, positives = (keras.Variable(x) for x in vectors)

    def loss_of_row_0():
        return head.loss("rec", targets, positives, ITEMS, IS_TARGET)[0][0]

    (gradient,) = gradients(loss_of_row_0, [positives])
    assert not gradient[[2, 4, 5]].any() and gradient[[0, 1, 3]].any(axis=1).all()


def test_vectors_and_config():
    head = RetrievalHead(3, num_items=4, tasks=("rec", "search"))
    parts = [np.ones((2, 4), "float32"), np.ones((2, 5), "float32")]
    result = head(parts, task="rec")
    head.item_vectors(np.ones((2, 7, 4), "float32"))
    randomize(head)
    dense = head.target_dense["rec"]
    expected = np.ones((2, 9)) @ numpy(dense.kernel) + numpy(dense.bias)
    np.testing.assert_allclose(numpy(head(parts, task="rec")), expected, atol=1e-5)
    assert result.shape == (2, 3)
    copy = RetrievalHead.from_config(head.get_config())
    assert copy.get_config() == head.get_config()
    half = RetrievalHead(3, 4, ("rec",), dtype="mixed_bfloat16")
    assert half(parts, task="rec").dtype == "bfloat16"
    values, _ = half.loss("rec", *[ops.ones((6, 3), "bfloat16")] * 2, ITEMS, IS_TARGET)
    assert values.dtype == "float32"
