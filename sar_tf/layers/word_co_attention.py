"""A search as one vector: the query's words and the clicked items weigh each other."""

from typing import Any

import keras
from keras import ops

from sar_tf.layers.composite import Composite
from sar_tf.layers.masking import masked_softmax


@keras.saving.register_keras_serializable("sar_tf")
class WordCoAttention(Composite):
    """The vector of a search that has clicks.

        L = tanh(X W C^T)                    words X (W, D), clicked items C (K, D)
        a = softmax(row sums of L), b = softmax(column sums of L)
        y = V [a X ; b C] + c

    Sums and softmaxes run over the words and items that are there.

    Call arguments:
        words: `(..., W, D)`.
        items: `(..., K, D)`.
        word_mask: bool `(..., W)`.
        item_mask: bool `(..., K)`.

    Returns:
        `(..., D)`.

    Example:

    >>> from keras import ops
    >>> words, items = ops.ones((2, 3, 8)), ops.ones((2, 5, 8))
    >>> masks = ops.ones((2, 3), "bool"), ops.ones((2, 5), "bool")
    >>> tuple(WordCoAttention()(words, items, *masks).shape)
    (2, 8)

    Reference:
        [Yao et al., 2021](https://doi.org/10.1145/3459637.3482489)
    """

    def build(self, words_shape, *other_shapes, **named_shapes):
        width = words_shape[-1]
        self.affinity_kernel = self.add_weight(
            name="affinity_kernel", shape=(width, width), initializer="glorot_normal"
        )
        self.dense = self._dense(width, "dense", 2 * width)

    def call(self, words: Any, items: Any, word_mask: Any, item_mask: Any) -> Any:
        projected = ops.matmul(words, self.affinity_kernel)
        affinity = ops.tanh(ops.matmul(projected, ops.swapaxes(items, -1, -2)))
        affinity = ops.cast(affinity, "float32")
        of_item = ops.cast(item_mask, "float32")[..., None, :]
        of_word = ops.cast(word_mask, "float32")[..., :, None]
        word_weights = masked_softmax(ops.sum(affinity * of_item, axis=-1), word_mask)
        item_weights = masked_softmax(ops.sum(affinity * of_word, axis=-2), item_mask)
        return self.dense(
            ops.concatenate(
                [_mix(word_weights, words), _mix(item_weights, items)], axis=-1
            )
        )

    def compute_output_shape(self, words_shape, *other_shapes, **named_shapes):
        return (*words_shape[:-2], words_shape[-1])


def _mix(weights, x):
    """The sum of vectors by their weights: `(..., N), (..., N, D) -> (..., D)`."""
    return ops.sum(ops.cast(weights, x.dtype)[..., None] * x, axis=-2)
