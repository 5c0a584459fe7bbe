"""Negatives for training, drawn for many users at once."""

from typing import NamedTuple

import tensorflow as tf


class FreeItems(NamedTuple):
    """Index of the items that each of U users has not interacted with, for draws.

    The k-th free item (from 0) of a user is k + 1 + the number of the user's own
    items below it. An own item is below it exactly if at most k free items are below
    that own item. One sorted array of "free items below" for all users answers each
    draw by one binary search. The draws are exactly uniform and need no repetition.
    """

    keys: tf.Tensor  # (M,) int64, user's row * (num_items + 1) + free items below
    splits: tf.Tensor  # (U + 1,) from users to their rows of keys


def index_free_items(
    user_items: tf.Tensor, splits: tf.Tensor, num_items: int
) -> FreeItems:
    """Prepares the draws of `sample_negatives`.

    Args:
        user_items: `(M,)` the users' own items, sorted and unique for each user.
        splits: `(U + 1,)` from users to their rows.
        num_items: Highest item id.
    """
    index = tf.range(tf.shape(user_items)[0])
    row = tf.searchsorted(splits[1:], index, side="right")
    free_below = user_items - 1 - (index - tf.gather(splits, row))
    return FreeItems(_key(row, free_below, num_items), splits)


def sample_negatives(
    free: FreeItems, row: tf.Tensor, num_items: int, num_negatives: int, seed: tf.Tensor
) -> tf.Tensor:
    """Draws uniformly from the items that a user has not interacted with.

    Args:
        free: Result of `index_free_items`.
        row: `(T,)` index of each target's user among the U users.
        num_items: Highest item id.
        num_negatives: Number of draws for each target, with replacement.
        seed: `(2,)` the seed of a stateless draw.

    Returns:
        `(T, num_negatives)` items, int32. If a user has interacted with every item,
        the draws are from all items.
    """
    first = tf.gather(free.splits, row)[:, None]
    num_free = num_items - (tf.gather(free.splits, row + 1)[:, None] - first)
    shape = [tf.shape(row)[0], num_negatives]
    draw = tf.random.stateless_uniform(shape, seed, None, None, tf.int64)
    choices = tf.cast(tf.where(num_free > 0, num_free, num_items), tf.int64)
    choice = tf.cast(draw % choices, tf.int32)
    key = tf.reshape(_key(row[:, None], choice, num_items), [-1])
    found = tf.searchsorted(free.keys, key, side="right")
    own_below = tf.reshape(found, shape) - first
    return 1 + choice + tf.where(num_free > 0, own_below, 0)


def _key(row: tf.Tensor, offset: tf.Tensor, num_items: int) -> tf.Tensor:
    return tf.cast(row, tf.int64) * (num_items + 1) + tf.cast(offset, tf.int64)
