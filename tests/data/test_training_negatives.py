import numpy as np
import tensorflow as tf

from sar_tf.data.negatives import index_free_items, sample_negatives


def draw(users, rows, num_items, number, seed=(1, 2)):
    lengths = [len(items) for items in users]
    values = tf.constant([i for items in users for i in items], tf.int32)
    splits = tf.constant(np.append(0, np.cumsum(lengths)), tf.int32)
    free = index_free_items(values, splits, num_items)
    rows = tf.constant(rows, tf.int32)
    return sample_negatives(free, rows, num_items, number, tf.constant(seed)).numpy()


def test_uniform_over_the_items_that_are_not_the_users():
    users = [[1, 2, 5], [], [10], [2, 4, 6, 8, 10]]
    negatives = draw(users, rows=[0, 1, 2, 3], num_items=10, number=20_000)
    for row, own in zip(negatives, users, strict=True):
        counts = np.bincount(row, minlength=11)
        free = sorted(set(range(1, 11)) - set(own))
        assert counts[0] == 0 and counts[own].sum() == 0
        # Five standard deviations of a binomial count.
        expected = len(row) / len(free)
        assert np.abs(counts[free] - expected).max() < 5 * np.sqrt(expected)


def test_user_with_all_items_but_one():
    negatives = draw([[1, 2, 4, 5], [2, 3, 4, 5]], [1, 0, 1], num_items=5, number=8)
    np.testing.assert_array_equal(negatives, [[1] * 8, [3] * 8, [1] * 8])


def test_user_with_all_items_gets_any():
    negatives = draw([[1], [1, 2, 3]], [1], num_items=3, number=300)
    assert set(negatives.ravel()) == {1, 2, 3}


def test_many_users_and_items_beyond_32_bits():
    rng = np.random.default_rng(0)
    num_items = 2_000_000
    users = [np.unique(rng.integers(1, num_items + 1, 50)) for _ in range(4000)]
    negatives = draw(users, np.arange(4000), num_items, number=4)
    assert negatives.min() >= 1 and negatives.max() <= num_items
    assert negatives[-1000:].mean() > num_items * 0.4
    for own, row in zip(users, negatives, strict=True):
        assert not np.isin(row, own).any()


def test_seed_decides():
    users, rows = [[3], [4]], [0, 1, 1]
    first, same = (draw(users, rows, 1000, 4) for _ in range(2))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, draw(users, rows, 1000, 4, seed=(1, 3)))


def test_no_targets():
    assert draw([[1]], rows=[], num_items=5, number=4).shape == (0, 4)
