"""Draws items that are like others: of one category, or found by one query."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sar_tf.data.dataset import SequenceDataset

# Features of items that are categories, the deepest first.
_CATEGORIES = ("second_level_category_id", "first_level_category_id")


class SimilarItems(NamedTuple):
    """Index of the P distinct (group, item) pairs, for draws; each group has several.

    An item may be in several groups. The pairs are numbered twice, in the order of
    items and in the order of groups.
    """

    item_splits: np.ndarray  # [num_items + 2] from items to their pairs
    group: np.ndarray  # [P] of each pair, in the order of items
    place: np.ndarray  # [P] its place within the group, in the order of items
    group_splits: np.ndarray  # [groups + 1] from groups to their pairs
    items: np.ndarray  # [P] in the order of groups; one 0 where there is no pair


def index_similar(
    dataset: SequenceDataset, training_pairs: tuple[np.ndarray, np.ndarray]
) -> SimilarItems:
    """Prepares the draws of `draw_similar`.

    Groups are the deepest known categories where items have any; else the queries of
    training targets, with the items that are their positives.

    Args:
        dataset: The dataset.
        training_pairs: As `read_training_pairs`.
    """
    features = dataset.feature_tables(1).get("item", {})
    known = [features[name] for name in _CATEGORIES if name in features]
    known = [values for values in known if values.ndim == 1]  # One of each item.
    if not known:
        return index_groups(*training_pairs, dataset.info.num_items)
    group = np.zeros(dataset.info.num_items + 1, np.int64)
    offset = 0
    for values in known:
        group = np.where((group == 0) & (values > 0), offset + values, group)
        offset += int(values.max(initial=0))
    return index_groups(group, np.arange(len(group)), dataset.info.num_items)


def index_groups(groups: np.ndarray, items: np.ndarray, num_items: int) -> SimilarItems:
    """The index of some (group, item) pairs, without groups of a single item.

    Args:
        groups: int `(pairs,)`; 0 is no group.
        items: int `(pairs,)`; 0 is no item.
        num_items: Highest item id.
    """
    is_pair = (groups > 0) & (items > 0)
    pairs = np.unique(np.stack([groups[is_pair], items[is_pair]], axis=1), axis=0)
    group, item = pairs[np.bincount(pairs[:, 0])[pairs[:, 0]] > 1].T
    sizes = np.bincount(group, minlength=1)
    group_splits = np.concatenate([[0], np.cumsum(sizes)])
    place = np.arange(len(group)) - group_splits[group]
    by_item = np.argsort(item, kind="stable")
    counts = np.bincount(item, minlength=num_items + 1)
    arrays = (
        np.concatenate([[0], np.cumsum(counts)]),
        np.append(group[by_item], 0),
        np.append(place[by_item], 0),
        group_splits,
        np.append(item, 0),
    )
    return SimilarItems(*(array.astype(np.int32) for array in arrays))


def draw_similar(index: SimilarItems, items: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """For each item another one of a group that both are in.

    The group is drawn from the item's, then the item from the group's others.

    Args:
        index: As `index_similar`.
        items: int32 of any shape; 0 is none.
        seed: [2] seed of the draw.

    Returns:
        int32, as `items`; 0 where there is none.
    """
    shape = tf.concat([tf.shape(items), [2]], axis=0)
    draws = tf.random.stateless_uniform(shape, seed, None, None, tf.int32)
    draws = tf.bitwise.bitwise_and(draws, 0x7FFFFFFF)  # Not negative.
    first = tf.gather(index.item_splits, items)
    number = tf.gather(index.item_splits, items + 1) - first
    pair = first + draws[..., 0] % tf.maximum(number, 1)
    pair = tf.where(number > 0, pair, tf.size(index.group) - 1)
    group, place = tf.gather(index.group, pair), tf.gather(index.place, pair)
    start = tf.gather(index.group_splits, group)
    size = tf.gather(index.group_splits, group + 1) - start
    others = tf.maximum(size - 1, 1)
    other = (place + 1 + draws[..., 1] % others) % tf.maximum(size, 1)
    found = tf.gather(index.items, start + other)
    return tf.where((number > 0) & (items > 0), found, 0)
