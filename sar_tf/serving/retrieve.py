"""The best items of the whole catalogue, by products of vectors."""

import tensorflow as tf

from sar_tf.models import Model
from sar_tf.models.catalogue import of_all_items


class Catalogue(tf.Module):
    """The vectors of all items, computed once.

    Args:
        model: A model that `can_retrieve`.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        vectors = of_all_items(model, model.item_vectors)
        vectors = tf.cast(vectors, tf.float32)
        # Transposed, so that the product reads it in the order of memory.
        self._vectors = tf.Variable(tf.transpose(vectors), trainable=False)

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
        logits = tf.matmul(vectors, self._vectors)
        size = tf.shape(excluded)
        row = tf.broadcast_to(tf.range(size[0])[:, None], size)
        # Item 0 stands for none: it is excluded, too.
        left_out = tf.stack([row, excluded], axis=-1)
        none = tf.fill([size[0], size[1]], logits.dtype.min)
        logits = tf.tensor_scatter_nd_update(logits, left_out, none)
        column = tf.fill([size[0], 1], logits.dtype.min)
        logits = tf.concat([column, logits[:, 1:]], axis=1)
        k = tf.minimum(k, tf.shape(logits)[1] - 1)
        best, items = tf.math.top_k(logits, k)
        is_item = best > logits.dtype.min
        return tf.where(is_item, items, 0), tf.where(is_item, tf.sigmoid(best), 0.0)
