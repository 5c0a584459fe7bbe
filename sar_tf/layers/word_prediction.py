"""The loss by which items and users predict the words of their texts."""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("sar_tf")
class WordPrediction(layers.Layer):
    """Negative sampling for `P(word | item)`: a language model of items.

    For each row, with e its vector, T its text and w' the drawn words,

        mean_{w in T} -log sigmoid(<w, e> + b_w)
            + num_negatives · mean_{w'} -log sigmoid(-(<w', e> + b_w'))

    The original draws `num_negatives` words anew for each word of a text. Here all rows
    share the drawn words, each with the weight that makes the expectation the same.

    Args:
        num_words: highest word id.
        num_negatives: drawn words that a word of a text is compared with.

    Call arguments:
        vectors: `(B, D)`, of items or users.
        words: int `(B, T)`, the words of their texts, padded with 0.
        sampled: int `(S,)`, the drawn words; 0 counts for none.
        embed: callable from words `(...)` to vectors `(..., D)`, the words' table.

    Returns:
        The loss of each row, float32 `(B,)`, and bool `(B,)`, whether it has a text.

    Reference:
        [Ai et al., 2017](https://doi.org/10.1145/3077136.3080813)
    """

    def __init__(self, num_words: int, num_negatives: int = 5, **kwargs) -> None:
        super().__init__(**kwargs)
        self.num_words = num_words
        self.num_negatives = num_negatives

    def build(self, vectors_shape, *other_shapes, **named_shapes):
        # "bias" in its name exempts it from L2.
        self.word_bias = self.add_weight(
            name="word_bias",
            shape=(self.num_words + 1,),
            initializer="zeros",
            autocast=False,
        )

    def call(
        self, vectors: Any, words: Any, sampled: Any, embed: Callable[[Any], Any]
    ) -> tuple[Any, Any]:
        bias = self.word_bias.value
        own = ops.einsum("btd,bd->bt", embed(words), vectors)
        own = ops.cast(own, "float32") + ops.take(bias, words, axis=0)
        drawn = ops.matmul(vectors, ops.transpose(embed(sampled)))
        drawn = ops.cast(drawn, "float32") + ops.take(bias, sampled, axis=0)
        negatives = _mean(ops.softplus(drawn), sampled[None, :] > 0)
        values = _mean(ops.softplus(-own), words > 0) + self.num_negatives * negatives
        return values, ops.any(words > 0, axis=1)

    def get_config(self):
        return {
            **super().get_config(),
            "num_words": self.num_words,
            "num_negatives": self.num_negatives,
        }


def _mean(values, mask):
    """Mean over the last axis where the mask is true; 0 where it never is."""
    weights = ops.cast(mask, values.dtype)
    total = ops.sum(values * weights, axis=-1)
    return total / ops.maximum(ops.sum(weights, axis=-1), 1.0)
