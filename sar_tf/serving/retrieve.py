"""The best items of the whole catalogue, by products of vectors."""

import tensorflow as tf

from sar_tf.models import Model
from sar_tf.models.catalogue import of_all_items

_BLOCK = 256  # Scores of a block of `top_k`.
_TOGETHER = 32  # Items of one product: one user's request is fastest with 32 to 64.


class Catalogue(tf.Module):
    """The vectors of all items, computed once.

    Args:
        model: A model that `can_retrieve`.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        vectors = of_all_items(model, model.item_vectors)
        vectors = tf.cast(vectors, tf.float32)
        self._length = vectors.shape[0]
        vectors = tf.pad(vectors, [[0, -self._length % _BLOCK], [0, 0]])
        # `(N / 32, D, 32)`: a product reads its items in the order of memory.
        vectors = tf.reshape(vectors, [-1, _TOGETHER, vectors.shape[1]])
        self._vectors = tf.Variable(tf.transpose(vectors, [0, 2, 1]), trainable=False)

    def best(
        self, vectors: tf.Tensor, k: tf.Tensor, excluded: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The items with the highest scores.

        It computes the scores of all items: B times the number of items in memory.

        Args:
            vectors: float32 `(B, D)`, of the targets.
            k: Number of items, above 0.
            excluded: int32 `(B, E)`, items that are left out; 0 is none.

        Returns:
            int32 `(B, k)`, the items by falling score, and float32 `(B, k)`, the
            probabilities of a click. Where fewer items are left, the rest is 0. If k
            is above the number of items, it is that number.
        """
        rows = tf.shape(vectors)[0]
        logits = tf.transpose(tf.matmul(vectors, self._vectors), [1, 0, 2])
        length = self._vectors.shape[0] * _TOGETHER
        logits = tf.reshape(logits, [rows, length])
        # Item 0 stands for none, and padding for nothing.
        never = tf.constant([0, *range(self._length, length)], tf.int32)
        never = tf.broadcast_to(never, [rows, never.shape[0]])
        excluded = tf.concat([never, excluded], axis=1)
        size = tf.shape(excluded)
        row = tf.broadcast_to(tf.range(rows)[:, None], size)
        left_out = tf.stack([row, excluded], axis=-1)
        none = tf.fill(size, logits.dtype.min)
        logits = tf.tensor_scatter_nd_update(logits, left_out, none)
        k = tf.minimum(k, self._length - 1)
        best, items = top_k(logits, k)
        is_item = best > logits.dtype.min
        return tf.where(is_item, items, 0), tf.where(is_item, tf.sigmoid(best), 0.0)


def top_k(scores: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """As `tf.math.top_k`, in a third of the time where the rows are long.

    The k highest scores are in the k blocks of a row with the highest maxima, so that
    only these blocks are searched.

    Args:
        scores: `(B, N)`, with a static N.
        k: Number of scores of a row.

    Returns:
        `(B, k)` scores by falling score, and their int32 places; of equal scores the
        first ones.
    """
    length = scores.shape[1]
    if length < _BLOCK * _BLOCK:
        return tf.math.top_k(scores, k)
    rows = tf.shape(scores)[0]
    padding = [[0, 0], [0, -length % _BLOCK]]
    scores = tf.pad(scores, padding, constant_values=scores.dtype.min)
    number = -(-length // _BLOCK)
    scores = tf.reshape(scores, [rows, number, _BLOCK])
    number = tf.minimum(k, number)
    _, blocks = tf.math.top_k(tf.reduce_max(scores, axis=2), number)
    blocks = tf.sort(blocks)  # In the order of places, which decides between equals.
    scores = tf.gather(scores, blocks, batch_dims=1)
    best, place = tf.math.top_k(tf.reshape(scores, [rows, -1]), k)
    blocks = tf.gather(blocks, place // _BLOCK, batch_dims=1)
    return best, blocks * _BLOCK + place % _BLOCK
