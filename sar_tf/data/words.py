"""The words of items' texts, and words drawn by how often texts have them."""

import numpy as np
import tensorflow as tf

from sar_tf.data.dataset import SequenceDataset

_POWER = 0.75  # Of word2vec: rare words are drawn more often than they occur.


def item_captions(dataset: SequenceDataset, max_words: int) -> np.ndarray | None:
    """Words of every item's caption: int32 `(num_items + 1, max_words)`.

    Returns:
        None where items have no captions.
    """
    return dataset.feature_tables(max_words).get("item", {}).get("caption")


def word_counts(
    dataset: SequenceDataset, training_pairs: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """How often each word occurs in the texts of a dataset.

    The texts are the queries of the training targets, a query once a target, and the
    captions of all items.

    Args:
        dataset: The dataset.
        training_pairs: As `read_training_pairs`.

    Returns:
        int64 `(num_words + 1,)`; word 0 is padding and has count 0.
    """
    size = dataset.info.num_words + 1
    width = max(dataset.info.max_query_words, 1)
    queries = np.bincount(training_pairs[0], minlength=dataset.info.num_queries + 1)
    words = dataset.query_words(width)
    weights = np.repeat(queries, width)
    counts = np.bincount(words.reshape(-1), weights, minlength=size)
    captions = item_captions(dataset, width)
    if captions is not None:
        counts = counts + np.bincount(captions.reshape(-1), minlength=size)
    counts[0] = 0
    return counts.astype(np.int64)


def cumulative_shares(counts: np.ndarray) -> np.ndarray:
    """The cumulative probability of each word, `counts ** 0.75`: float64, as counts.

    All are 0 where no word occurs.
    """
    total = np.cumsum(counts.astype(np.float64) ** _POWER)
    return total / max(total[-1], 1.0)


def draw_words(shares: tf.Tensor, number: int, seed: tf.Tensor) -> tf.Tensor:
    """Draws words, int32 `(number,)`; 0 for each where no word occurs.

    Args:
        shares: As `cumulative_shares`.
        number: How many.
        seed: [2] seed of the draw.
    """
    draw = tf.random.stateless_uniform([number], seed, dtype=tf.float64)
    words = tf.searchsorted(shares, draw * shares[-1], side="right")
    return tf.where(shares[-1] > 0, words, 0)
