import numpy as np
from support.layer_weights import numpy, randomize, round_trip

from sar_tf.layers.word_co_attention import WordCoAttention

WORDS, ITEMS = np.random.default_rng(0).normal(size=(2, 4, 3, 5)).astype("float32")
WORD_MASK = np.arange(3) < np.array([3, 2, 0, 1])[:, None]
ITEM_MASK = np.arange(3) < np.array([1, 3, 2, 3])[:, None]


def test_values_over_what_is_there():
    layer = WordCoAttention()
    layer(WORDS, ITEMS, WORD_MASK, ITEM_MASK)
    randomize(layer)
    kernel, expected = numpy(layer.affinity_kernel), []
    for row in range(4):
        x, c = WORDS[row][WORD_MASK[row]], ITEMS[row][ITEM_MASK[row]]
        affinity = np.tanh(x @ kernel @ c.T)
        weights = [np.exp(affinity.sum(axis)) for axis in (1, 0)]
        means = [
            w @ own / max(w.sum(), 1e-9) for w, own in zip(weights, (x, c), strict=True)
        ]
        expected.append(np.concatenate(means) @ numpy(layer.dense.kernel))
    expected += numpy(layer.dense.bias)
    result = numpy(layer(WORDS, ITEMS, WORD_MASK, ITEM_MASK))
    np.testing.assert_allclose(result, expected, atol=1e-5)
    round_trip(layer, WORDS, ITEMS, WORD_MASK, ITEM_MASK)
