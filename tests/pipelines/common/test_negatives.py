import numpy as np
import pytest

from pipelines.common.job import UserError
from pipelines.common.negatives import draw_negatives, user_generator


def draw(num_items, user_items, num_targets, num_negatives=99, seed=1, user=5):
    return draw_negatives(
        user_generator(seed, user),
        num_items,
        np.array(user_items, np.int64),
        num_targets,
        num_negatives,
    )


@pytest.mark.parametrize("num_items", [103, 150, 20_000, 1_000_000])
def test_negatives_are_distinct_other_items(num_items):
    user_items = [1, 2, 50, num_items]

    negatives = draw(num_items, user_items, num_targets=20)

    assert negatives.shape == (20, 99)
    assert negatives.min() >= 1
    assert negatives.max() < num_items
    assert not np.isin(negatives, user_items).any()
    assert np.all(np.diff(np.sort(negatives, axis=1), axis=1) > 0)


def test_all_other_items_are_drawn_where_just_enough_are_left():
    negatives = draw(7, [2, 3, 6], num_targets=3, num_negatives=4)

    assert np.sort(negatives, axis=1).tolist() == [[1, 4, 5, 7]] * 3


def test_all_other_items_are_equally_likely():
    negatives = draw(10, [1, 4, 10], num_targets=20_000, num_negatives=3)

    counts = np.bincount(negatives.ravel(), minlength=11)
    assert counts[[0, 1, 4, 10]].tolist() == [0, 0, 0, 0]
    # 60,000 draws of 7 items: 8,571 each, with a standard deviation of 70.
    assert np.all(np.abs(counts[[2, 3, 5, 6, 7, 8, 9]] - 60_000 / 7) < 350)


def test_seed_and_user_decide_the_draw():
    first = draw(1000, [3], num_targets=2)

    np.testing.assert_array_equal(first, draw(1000, [3], num_targets=2))
    assert not np.array_equal(first, draw(1000, [3], num_targets=2, seed=2))
    assert not np.array_equal(first, draw(1000, [3], num_targets=2, user=6))
    assert not np.array_equal(first[0], first[1])


def test_too_few_items_is_an_error_only_where_negatives_are_needed():
    with pytest.raises(
        UserError, match=r"99 negatives.*all but 98 of the 100 items.*more items"
    ):
        draw(100, [1, 2], num_targets=1)
    assert draw(100, [1, 2], num_targets=0).shape == (0, 99)
