"""The best items of the whole catalogue, by products of vectors."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from sar_tf.models import DotProductModel, Model

_ITEMS_TOGETHER = 1 << 14  # Items that are encoded by one call.


def can_retrieve(model: Model) -> bool:
    """Whether a model has vectors of targets and items."""
    return scores_are_products(model) or model.retrieval_head is not None


def scores_are_products(model: Model) -> bool:
    """Whether a model's score is the product of the vectors: no ranking is needed."""
    return (
        isinstance(model, DotProductModel)
        # A subclass may add to the product.
        and type(model).logits is DotProductModel.logits
        and type(model).read is DotProductModel.read
    )


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


def of_all_items(model: Model, encode: Callable[[tf.Tensor], Any]) -> tf.Tensor:
    """What a function of items gives for items 0, 1, …: `(num_items + 1, …)`."""
    end = model.spec.num_items + 1
    parts = [
        encode(tf.range(start, min(start + _ITEMS_TOGETHER, end)))
        for start in range(0, end, _ITEMS_TOGETHER)
    ]
    return tf.concat(parts, axis=0)
