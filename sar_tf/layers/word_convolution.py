"""NRHUB's encoder of texts: a convolution over words, pooled by attention."""

from typing import Any

import keras
from keras import ops

from sar_tf.layers.additive_attention import AdditiveAttention
from sar_tf.layers.composite import Composite
from sar_tf.layers.dropout import Dropout
from sar_tf.layers.embeddings import Embedding
from sar_tf.layers.products import times


@keras.saving.register_keras_serializable("sar_tf")
class WordConvolution(Composite):
    """Encodes a text by its words and their neighbors.

        h_t = relu(sum_k W_k e_(t + k) + b),  k = -1, 0, 1
        y = attention(h_1, …, h_L)

    over the L words of the text; words outside are 0, with or without padding. The
    attention is `AdditiveAttention`. Dropout is applied to e and to h. The released
    code pools `tanh(W h + b)` in the place of h.

    Args:
        num_words: highest word id.
        embedding_dim: width of a word embedding.
        units: width D of the result, the number of the convolution's filters.
        attention_units: inner width of the attention.
        dropout: rate of both dropouts.

    Call arguments:
        words: int `(..., W)`, padded with 0 at the end.
        training: whether dropout is applied.

    Returns:
        `(..., D)`; 0 for a text without words.

    Example:

    >>> import numpy as np
    >>> encoder = WordConvolution(9, embedding_dim=4, units=6, attention_units=5)
    >>> tuple(encoder(np.array([[[1, 2, 0]]])).shape)
    (1, 1, 6)

    Reference:
        [Wu et al., 2019](https://doi.org/10.18653/v1/D19-1493)
    """

    def __init__(
        self,
        num_words: int,
        embedding_dim: int,
        units: int,
        attention_units: int,
        dropout: float = 0.2,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.num_words = num_words
        self.embedding_dim = embedding_dim
        self.units = units
        self.attention_units = attention_units
        self.dropout_rate = dropout
        policy = {"dtype": self.dtype_policy}
        self.word_embedding = Embedding(
            num_words + 1,
            embedding_dim,
            embeddings_initializer="glorot_normal",
            name="word_embedding",
            **policy,
        )
        self.attention = AdditiveAttention(attention_units, name="attention", **policy)
        self.dropouts = [
            Dropout(dropout, name=f"{of}_dropout", **policy)
            for of in ("word", "neighbor")
        ]

    def build(self, words_shape):
        self.word_embedding.build(words_shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(3, self.embedding_dim, self.units),
            initializer="glorot_normal",
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.units,), initializer="zeros"
        )
        self.attention.build((None, words_shape[-1], self.units))

    def call(self, words: Any, training: bool = False) -> Any:
        shape = ops.shape(words)
        words = ops.reshape(words, (-1, words.shape[-1]))
        is_word = words > 0
        of_words, of_neighbors = self.dropouts
        e = of_words(self.word_embedding(words), training=training)
        e = e * ops.cast(is_word, e.dtype)[..., None]
        # No convolution layer: TensorFlow with oneDNN gives a wrong shape for no texts.
        outer = ops.pad(e, ((0, 0), (1, 1), (0, 0)))
        three = ops.concatenate([outer[:, :-2], e, outer[:, 2:]], axis=-1)
        kernel = ops.reshape(self.kernel, (three.shape[-1], self.units))
        h = ops.relu(times(three, kernel, self.bias))
        y, _ = self.attention(of_neighbors(h, training=training), is_word)
        return ops.reshape(y, (*shape[:-1], self.units))

    def compute_output_shape(self, words_shape):
        return (*words_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "num_words": self.num_words,
            "embedding_dim": self.embedding_dim,
            "units": self.units,
            "attention_units": self.attention_units,
            "dropout": self.dropout_rate,
        }
