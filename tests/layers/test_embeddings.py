import keras
import numpy as np
import pytest
from keras import ops
from support.gradients import gradients
from support.layer_weights import numpy, randomize, round_trip

from sar_tf.layers.embeddings import QueryEncoder, search_behavior
from sar_tf.layers.feature_encoder import FeatureEncoder


def query_encoder(**kwargs):
    """Words 1 and 2 are (1, 0) and (0, 2); the projection doubles and shifts."""
    layer = QueryEncoder(num_words=2, embedding_dim=2, units=2, **kwargs)
    queries = [np.zeros(1, "int32")] if layer.query_dim else []
    layer(np.zeros((1, 1), "int32"), *queries)
    layer.word_embedding.embeddings.assign([[9.0, 9.0], [1.0, 0.0], [0.0, 2.0]])
    layer.dense.kernel.assign(2 * np.eye(layer.dense.kernel.shape[0], 2))
    layer.dense.bias.assign([0.0, 0.5])
    return layer


def feature_encoder(**kwargs):
    arguments = {
        "num_ids": 2,
        "features": {"category": 1, "brand": 2},
        "embedding_dim": 1,
        "units": 3,
        "activation": None,
        **kwargs,
    }
    layer = FeatureEncoder(**arguments)
    extra = {}
    if arguments.get("caption_length"):
        extra["encode_caption"] = first_caption_word
    layer(np.zeros((1,), "int32"), **extra)
    return layer


def first_caption_word(words):
    return ops.cast(words[..., :1], "float32")


@pytest.mark.parametrize(
    ("words", "mean"),
    [
        ([1, 0, 0], [1.0, 0.0]),
        ([1, 2, 0], [0.5, 1.0]),
        ([1, 0, 2], [0.5, 1.0]),
        ([2, 2, 1], [1 / 3, 4 / 3]),
        ([0, 0, 0], [0.0, 0.0]),
    ],
)
def test_query_is_the_projected_mean_of_its_words(words, mean):
    encoded = query_encoder()(np.array([words], "int32"))
    expected = np.tanh([[2 * mean[0], 2 * mean[1] + 0.5]])
    np.testing.assert_allclose(numpy(encoded), expected, rtol=1e-6)


def test_query_of_wider_padding_is_the_same():
    layer = query_encoder()
    narrow = layer(np.array([[1, 2]], "int32"))
    wide = layer(np.array([[1, 2, 0, 0, 0]], "int32"))
    np.testing.assert_allclose(numpy(narrow), numpy(wide), rtol=1e-6)


def test_query_encoder_takes_any_number_of_leading_axes():
    layer = query_encoder()
    assert layer(np.ones((2, 3, 4, 5), "int32")).shape == (2, 3, 4, 2)
    assert layer.compute_output_shape((2, 3, 4, 5)) == (2, 3, 4, 2)


def test_words_of_padding_get_no_gradient():
    layer = query_encoder()
    words = np.array([[1, 0]], "int32")
    table = layer.word_embedding.embeddings
    (gradient,) = gradients(lambda: ops.sum(layer(words)), [table])
    np.testing.assert_array_equal(gradient[[0, 2]], 0)
    assert np.all(gradient[1] != 0)


def test_features_follow_the_id_in_the_order_given():
    layer = feature_encoder()
    layer.set_tables({"category": np.array([0, 1, 0]), "brand": np.array([0, 2, 1])})
    layer.id_embedding.embeddings.assign([[1.0], [2.0], [3.0]])
    layer.feature_embeddings[0].embeddings.assign([[10.0], [20.0]])
    layer.feature_embeddings[1].embeddings.assign([[100.0], [200.0], [300.0]])
    layer.dense.kernel.assign(np.eye(3))
    encoded = layer(np.array([[0, 1, 2]], "int32"))
    expected = [[[1, 10, 100], [2, 20, 300], [3, 10, 200]]]
    np.testing.assert_allclose(numpy(encoded), expected)


def test_caption_stands_second():
    layer = feature_encoder(units=4, caption_length=2)
    layer.set_tables(
        {
            "category": np.array([0, 1, 0]),
            "brand": np.array([0, 2, 1]),
            "caption": np.array([[0, 0], [7, 8], [5, 0]]),
        }
    )
    layer.id_embedding.embeddings.assign([[1.0], [2.0], [3.0]])
    layer.feature_embeddings[0].embeddings.assign([[10.0], [20.0]])
    layer.feature_embeddings[1].embeddings.assign([[100.0], [200.0], [300.0]])
    layer.dense.kernel.assign(np.eye(4))
    ids = np.array([1, 2], "int32")
    encoded = layer(ids, encode_caption=first_caption_word)
    np.testing.assert_allclose(numpy(encoded), [[2, 7, 20, 300], [3, 5, 10, 200]])


@pytest.mark.parametrize("mask_zero", [True, False])
def test_id_0_is_zero_only_where_asked_for(mask_zero):
    layer = randomize(feature_encoder(mask_zero=mask_zero, activation="tanh"))
    encoded = numpy(layer(np.array([0, 1], "int32")))
    assert np.all(encoded[0] == 0) == mask_zero
    assert np.all(encoded[1] != 0)


def test_encoder_of_ids_alone():
    layer = randomize(feature_encoder(features={}, activation="tanh"))
    ids = np.array([2, 1], "int32")
    table = numpy(layer.id_embedding.embeddings)
    kernel, bias = numpy(layer.dense.kernel), numpy(layer.dense.bias)
    expected = np.tanh(table[[2, 1]] @ kernel + bias)
    np.testing.assert_allclose(numpy(layer(ids)), expected, rtol=1e-5)


def test_query_with_an_embedding_of_its_own():
    layer = query_encoder(num_queries=1, query_dim=1, activation=None)
    layer.query_embedding.embeddings.assign([[0.0], [7.0]])
    layer.dense.kernel.assign([[1.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    encoded = layer(np.array([[1, 2], [0, 0]], "int32"), np.array([1, 0], "int32"))
    # The words' mean is (0.5, 1) and (0, 0), the bias (0, 0.5).
    np.testing.assert_allclose(numpy(encoded), [[7 + 5, 10 + 0.5], [0, 0.5]])


def test_features_of_their_own_widths_without_a_dense_layer():
    layer = feature_encoder(units=None, feature_dims=(2, 3))
    layer.set_tables({"category": np.array([0, 1, 0]), "brand": np.array([0, 2, 1])})
    randomize(layer)
    rows = [
        (layer.id_embedding, 1),
        *zip(layer.feature_embeddings, (1, 2), strict=True),
    ]
    expected = [numpy(embedding.embeddings)[row] for embedding, row in rows]
    encoded = numpy(layer(np.array([1], "int32")))
    np.testing.assert_allclose(encoded, [np.concatenate(expected)])
    assert encoded.shape == (1, 6) == layer.compute_output_shape((1,))


def test_missing_feature_tables_are_named():
    with pytest.raises(ValueError, match="brand"):
        feature_encoder().set_tables({"category": np.zeros(3)})


def test_feature_table_of_another_size_is_named():
    tables = {"category": np.zeros(3), "brand": np.zeros(4)}
    with pytest.raises(ValueError, match=r"'brand' has shape \(4,\), not \(3,\)"):
        feature_encoder().set_tables(tables)


def test_search_behavior_adds_the_mean_of_the_clicked_items():
    query = np.array([[[1.0], [2.0], [3.0], [4.0]]], "float32")
    clicked = np.array(
        [[[[10.0], [30.0]], [[10.0], [99.0]], [[99.0]] * 2, [[5.0]] * 2]]
    )
    clicked_mask = np.array([[[1, 1], [1, 0], [0, 0], [1, 1]]], bool)
    search_mask = np.array([[1, 1, 1, 0]], bool)
    behavior = search_behavior(
        query, clicked.astype("float32"), clicked_mask, search_mask
    )
    np.testing.assert_allclose(numpy(behavior), [[[21.0], [12.0], [3.0], [0.0]]])


def test_query_encoder_round_trip():
    layer = randomize(query_encoder())
    words = np.array([[1, 2], [0, 0]], "int32")
    copy = round_trip(layer, words)
    np.testing.assert_array_equal(numpy(copy(words)), numpy(layer(words)))


def test_feature_encoder_round_trip():
    layer = randomize(feature_encoder(mask_zero=True, activation="tanh"))
    layer.set_tables({"category": np.array([0, 1, 0]), "brand": np.array([0, 2, 1])})
    ids = np.array([0, 1, 2], "int32")
    copy = round_trip(layer, ids)
    np.testing.assert_array_equal(numpy(copy(ids)), numpy(layer(ids)))


@pytest.mark.parametrize("make", [query_encoder, feature_encoder])
def test_mixed_precision(make):
    inputs = np.array([[1, 2]], "int32")
    layer = randomize(make(activation="tanh"))
    half = randomize(make(activation="tanh", dtype="mixed_bfloat16"))
    assert {v.dtype for v in half.trainable_variables} == {"float32"}
    encoded = half(inputs)
    assert keras.backend.standardize_dtype(encoded.dtype) == "bfloat16"
    np.testing.assert_allclose(
        numpy(ops.cast(encoded, "float32")), numpy(layer(inputs)), atol=0.02
    )


def test_a_multi_valued_feature_is_the_mean_of_its_values():
    layer = FeatureEncoder(3, {"tags": [4, 2]}, 2, units=None)
    layer(np.zeros(1, "int32"))
    layer.set_tables({"tags": np.array([[0, 0], [1, 3], [2, 0], [0, 0]], "int32")})
    embedding = layer.feature_embeddings[0].embeddings
    embedding.assign(np.array([[9, 9], [1, 2], [3, 5], [5, 8], [7, 7]], "float32"))
    vectors = ops.convert_to_numpy(layer(np.array([1, 2, 3], "int32")))[:, 2:]
    np.testing.assert_allclose(vectors, [[3, 5], [3, 5], [0, 0]])
    assert FeatureEncoder.from_config(layer.get_config()).features == {"tags": [4, 2]}
