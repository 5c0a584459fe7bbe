import numpy as np
from keras import ops
from support.layer_weights import numpy, randomize, round_trip

from sar_tf.layers.embeddings import Embedding
from sar_tf.layers.word_prediction import WordPrediction

NUM_WORDS, D, NEGATIVES = 6, 3, 5
WORDS = np.array([[2, 4, 0], [3, 3, 1], [0, 0, 0]], "int32")
SAMPLED = np.array([1, 5, 5, 0], "int32")
VECTORS = np.random.default_rng(0).normal(size=(3, D)).astype("float32")


def prediction_case(**kwargs):
    table = Embedding(NUM_WORDS + 1, D)
    table.build(())
    layer = WordPrediction(NUM_WORDS, NEGATIVES, **kwargs)
    layer(VECTORS, WORDS, SAMPLED, embed=table)
    return randomize(layer), randomize(table, seed=1)


def softplus(x):
    return np.log1p(np.exp(x))


def test_values():
    """Words of the text pull, the drawn ones push; a repeated one counts twice."""
    layer, table = prediction_case()
    w, b = numpy(table.embeddings), numpy(layer.word_bias)
    values, has_text = layer(VECTORS, WORDS, SAMPLED, embed=table)
    np.testing.assert_array_equal(numpy(has_text), [True, True, False])
    for row, text in enumerate([[2, 4], [3, 3, 1]]):
        own = np.mean([softplus(-(w[t] @ VECTORS[row] + b[t])) for t in text])
        drawn = np.mean([softplus(w[t] @ VECTORS[row] + b[t]) for t in (1, 5, 5)])
        expected = own + NEGATIVES * drawn
        np.testing.assert_allclose(numpy(values)[row], expected, rtol=1e-5)


def test_the_loss_falls_as_the_words_move_towards_the_item():
    layer, table = prediction_case()
    before = numpy(layer(VECTORS, WORDS, SAMPLED, embed=table)[0])[0]
    moved = numpy(table.embeddings).copy()
    moved[[2, 4]] += 0.5 * VECTORS[0]
    table.embeddings.assign(moved)
    assert numpy(layer(VECTORS, WORDS, SAMPLED, embed=table)[0])[0] < before


def test_no_word_is_drawn():
    layer, table = prediction_case()
    nothing = np.zeros(4, "int32")
    values = numpy(layer(VECTORS, WORDS, nothing, embed=table)[0])
    w, b = numpy(table.embeddings), numpy(layer.word_bias)
    expected = np.mean([softplus(-(w[t] @ VECTORS[0] + b[t])) for t in (2, 4)])
    np.testing.assert_allclose(values[0], expected, rtol=1e-5)
    assert values[2] == 0


def test_config_round_trip():
    layer, table = prediction_case()
    copy = round_trip(layer, VECTORS, WORDS, SAMPLED, embed=table)
    result, expected = (
        numpy(x(VECTORS, WORDS, SAMPLED, embed=table)[0]) for x in (copy, layer)
    )
    np.testing.assert_array_equal(result, expected)


def test_bfloat16_vectors_have_a_loss_in_float32():
    layer, table = prediction_case()
    half, _ = prediction_case(dtype="mixed_bfloat16")
    vectors = ops.cast(VECTORS, "bfloat16")

    def embed(words):
        return ops.cast(table(words), "bfloat16")

    values, _ = half(vectors, WORDS, SAMPLED, embed=embed)
    assert values.dtype == "float32"
    expected = numpy(layer(VECTORS, WORDS, SAMPLED, embed=table)[0])
    np.testing.assert_allclose(numpy(values), expected, rtol=0.02)
