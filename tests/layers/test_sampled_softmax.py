import numpy as np
from keras import ops
from support.layer_weights import numpy

from sar_tf.layers.sampled_softmax import sampled_softmax_loss


def random(*shape, seed):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_cross_entropy_of_what_counts():
    asked, positive = random(2, 3, 4, seed=0), random(2, 3, 4, seed=1)
    sampled = random(5, 4, seed=2)
    is_positive = np.zeros((2, 3, 5), bool)
    is_positive[0, 1, [0, 4]] = True
    result = numpy(sampled_softmax_loss(asked, positive, sampled, is_positive))
    for row in np.ndindex(2, 3):
        own = asked[row] @ positive[row]
        others = sampled[~is_positive[row]] @ asked[row]
        expected = np.log(np.exp([own, *others]).sum()) - own
        np.testing.assert_allclose(result[row], expected, rtol=1e-5)


def test_nothing_counts():
    asked, sampled = random(3, 4, seed=0), random(5, 4, seed=1)
    result = sampled_softmax_loss(asked, asked, sampled, np.ones((3, 5), bool))
    np.testing.assert_array_equal(numpy(result), 0)


def test_large_logits_in_bfloat16():
    asked = ops.cast(100 * random(3, 4, seed=0), "bfloat16")
    sampled = ops.cast(100 * random(5, 4, seed=1), "bfloat16")
    result = sampled_softmax_loss(asked, -asked, sampled, np.zeros((3, 5), bool))
    assert np.all(np.isfinite(numpy(result)))
    assert numpy(result).dtype == "float32"
