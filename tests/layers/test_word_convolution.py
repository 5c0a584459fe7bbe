import numpy as np
from support.layer_weights import numpy, randomize, round_trip
from support.numpy_views import additive_attention

from sar_tf.layers.word_convolution import WordConvolution

WORDS = np.array([[[3, 1, 2, 4], [2, 5, 0, 0]], [[1, 0, 0, 0], [0, 0, 0, 0]]])


def convolution_case(**kwargs):
    layer = WordConvolution(5, embedding_dim=3, units=4, attention_units=2, **kwargs)
    layer(WORDS)
    return randomize(layer, scale=1.0)


def test_values():
    layer = convolution_case()
    table = numpy(layer.word_embedding.embeddings)
    kernel, bias = numpy(layer.kernel), numpy(layer.bias)
    result = numpy(layer(WORDS))
    for place in np.ndindex(2, 2):
        words = WORDS[place][WORDS[place] > 0]
        e = np.pad(table[words], ((1, 1), (0, 0)))
        h = np.array(
            [
                np.maximum(sum(e[t + k] @ kernel[k] for k in range(3)) + bias, 0)
                for t in range(len(words))
            ]
        )
        pooled = additive_attention(layer.attention, h) if len(h) else np.zeros(4)
        np.testing.assert_allclose(result[place], pooled, atol=1e-5)


def test_no_texts():
    assert tuple(convolution_case()(WORDS[:, :0]).shape) == (2, 0, 4)


def test_padding_changes_nothing():
    layer = convolution_case()
    longer = np.pad(WORDS, ((0, 0), (0, 0), (0, 3)))
    np.testing.assert_allclose(layer(longer), layer(WORDS), atol=1e-6)


def test_dropout_in_training_only():
    layer = convolution_case(dropout=0.5)
    assert np.ptp([numpy(layer(WORDS)) for _ in range(2)], axis=0).max() == 0
    two = [numpy(layer(WORDS, training=True)) for _ in range(2)]
    assert np.ptp(two, axis=0).max() > 0


def test_bfloat16_and_its_config():
    layer = convolution_case(dtype="mixed_bfloat16", dropout=0.1)
    result = layer(WORDS)
    assert result.dtype == "bfloat16"
    again = round_trip(layer, WORDS)
    np.testing.assert_array_equal(numpy(again(WORDS)), numpy(result))
