"""Embeddings of ids, queries and search behaviors."""

from typing import Any

import keras
from keras import layers, ops

from sar_tf.layers.look_up import look_up
from sar_tf.layers.masking import masked_mean
from sar_tf.layers.products import of_rows


@keras.saving.register_keras_serializable("sar_tf")
class Embedding(layers.Embedding):
    """Keras' `Embedding`, whose cost does not grow with the number of rows.

    On TensorFlow, Keras reads the whole table before a look-up. This read copies the
    table if an optimizer writes single rows. This layer looks up in TensorFlow's own
    variable, without a copy.

    Args:
        input_dim, output_dim, …: as in `keras.layers.Embedding`.

    Call arguments:
        inputs: int `(...)`, ids.

    Returns:
        `(..., output_dim)`.
    """

    def call(self, inputs: Any) -> Any:
        rows = look_up(self.embeddings.value, inputs)
        return ops.cast(rows, self.compute_dtype)


@keras.saving.register_keras_serializable("sar_tf")
class QueryEncoder(layers.Layer):
    """Encodes a query, or a caption, by its words.

    `e_q = tanh(W mean(e_w1, …, e_w|q|) + b)` (UniSAR, section 4.1.1; the dense
    layer comes from the official code). The mean runs over the words that are
    not 0. The mean of a query without words is 0.

    Args:
        num_words: highest word id.
        embedding_dim: width of a word embedding.
        units: width D of the result.
        activation: activation of the dense layer.
        num_queries: highest query id; only with `query_dim`.
        query_dim: width of the embedding of query ids, 0 for none. With it,
            `e_q = W concat(e_id, mean(e_w1, …)) + b` (SESRec).

    Call arguments:
        words: int `(..., W)`, padded with 0.
        queries: int `(...)`, query ids; only with `query_dim`.

    Returns:
        `(..., D)`.

    Reference:
        [Shi et al., 2024](https://doi.org/10.1145/3626772.3657811)
    """

    def __init__(
        self,
        num_words: int,
        embedding_dim: int,
        units: int,
        activation: str | None = "tanh",
        num_queries: int = 0,
        query_dim: int = 0,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.num_words = num_words
        self.embedding_dim = embedding_dim
        self.units = units
        self.activation = activation
        self.num_queries = num_queries
        self.query_dim = query_dim
        if query_dim:
            self.query_embedding = Embedding(
                num_queries + 1,
                query_dim,
                embeddings_initializer="glorot_normal",
                name="query_embedding",
                dtype=self.dtype_policy,
            )
        self.word_embedding = Embedding(
            num_words + 1,
            embedding_dim,
            embeddings_initializer="glorot_normal",
            name="word_embedding",
            dtype=self.dtype_policy,
        )
        self.dense = layers.Dense(
            units,
            activation,
            kernel_initializer="glorot_normal",
            name="dense",
            dtype=self.dtype_policy,
        )

    def build(self, words_shape, queries_shape=None):
        self.word_embedding.build(words_shape)
        if self.query_dim:
            self.query_embedding.build(queries_shape)
        self.dense.build((None, self.query_dim + self.embedding_dim))

    def call(self, words: Any, queries: Any = None) -> Any:
        mean = masked_mean(self.word_embedding(words), words > 0, axis=-2)
        if self.query_dim:
            mean = ops.concatenate([self.query_embedding(queries), mean], axis=-1)
        return of_rows(self.dense, mean)

    def compute_output_shape(self, words_shape, queries_shape=None):
        return (*words_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "num_words": self.num_words,
            "embedding_dim": self.embedding_dim,
            "units": self.units,
            "activation": self.activation,
            "num_queries": self.num_queries,
            "query_dim": self.query_dim,
        }


def search_behavior(
    query: Any, clicked: Any, clicked_mask: Any, search_mask: Any
) -> Any:
    """Embedding of a search behavior (Eq. 1): `e_q + Mean(C_q)`.

    Args:
        query: `(B, N, D)`, encoded queries.
        clicked: `(B, N, K, D)`, encoded clicked items.
        clicked_mask: bool `(B, N, K)`.
        search_mask: bool `(B, N)`, false for an empty slot.

    Returns:
        `(B, N, D)`. A session without clicks gives its query, an empty slot 0.
    """
    behavior = query + masked_mean(clicked, clicked_mask, axis=-2)
    return behavior * ops.expand_dims(ops.cast(search_mask, behavior.dtype), -1)
