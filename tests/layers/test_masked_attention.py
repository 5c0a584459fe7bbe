"""Attention without biases; that with biases is in test_attention.py."""

import numpy as np
from support.layer_weights import numpy, randomize, round_trip

from sar_tf.layers.masked_attention import MaskedAttention

LENGTHS = [5, 3, 1, 2]
MASK = np.arange(5) < np.array(LENGTHS)[:, None]
X = np.random.default_rng(0).normal(size=(4, 5, 4)).astype("float32")


def test_without_biases_a_zero_key_has_logit_0_and_adds_nothing():
    layer = MaskedAttention(2, use_bias=False)
    keys = X.copy()
    keys[:, 0] = 0
    layer(X, keys, MASK)
    randomize(layer)
    assert {v.name for v in layer.trainable_variables} == {"qkv_kernel", "kernel"}
    q, k, v = np.split(numpy(layer.qkv_kernel), 3, axis=1)
    for row, length in enumerate(LENGTHS):
        context = []
        for part in (slice(0, 2), slice(2, 4)):
            asked, own = X[row] @ q[:, part], keys[row, :length]
            logits = asked @ (own @ k[:, part]).T / np.sqrt(2)
            np.testing.assert_array_equal(logits[:, 0], 0)
            weights = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
            context.append(weights[:, 1:] @ (own[1:] @ v[:, part]))
        expected = np.concatenate(context, 1) @ numpy(layer.output_dense.kernel)
        np.testing.assert_allclose(
            numpy(layer(X, keys, MASK))[row], expected, atol=1e-5
        )
    copy = round_trip(layer, X, keys, MASK)
    result = numpy(copy(X, X, MASK))
    np.testing.assert_allclose(result, numpy(layer(X, X, MASK)), atol=1e-6)
