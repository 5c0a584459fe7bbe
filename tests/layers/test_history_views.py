import keras
import numpy as np
from support.layer_weights import numpy

from sar_tf.layers.history_views import draw_chosen, draw_order

N = 12
LENGTHS = np.array([0, 1, 2, 3, 4, 7, 10, 12] * 50)
MASK = np.arange(N) < LENGTHS[:, None]


def seed(number=1):
    return keras.random.SeedGenerator(number)


def views_of(share=0.3):
    """The slots of each view's items, in its order; the others' are left out."""
    order, kept = (numpy(x) for x in draw_order(MASK, share, seed()))
    assert order.dtype == "int32"
    # Items come before empty slots, as in a history.
    np.testing.assert_array_equal(kept, np.arange(N) < kept.sum(1, keepdims=True))
    return [row[mask].tolist() for row, mask in zip(order, kept, strict=True)]


def test_as_many_are_chosen_as_the_share_says():
    chosen = numpy(draw_chosen(MASK, MASK, 0.3, seed()))
    assert not chosen[~MASK].any()
    expected = [int(np.ceil(3 * length / 10)) for length in LENGTHS]
    np.testing.assert_array_equal(chosen.sum(1), expected)
    # Each of ten items is one of the three in 50 draws, and none of them always.
    counts = chosen[LENGTHS == 10].sum(0)[:10]
    assert counts.min() > 3 and counts.max() < 30


def test_only_what_may_be_is_chosen():
    may_be = MASK & (np.arange(N) % 5 == 1)
    chosen = numpy(draw_chosen(may_be, MASK, 0.5, seed()))
    assert not chosen[~may_be].any()
    expected = np.minimum(may_be.sum(1), np.ceil(LENGTHS / 2))
    np.testing.assert_array_equal(chosen.sum(1), expected)


def test_a_view_drops_items_or_shuffles_a_run():
    dropped = shuffled = 0
    for length, view in zip(LENGTHS, views_of(), strict=True):
        if view == list(range(length)):
            continue
        if len(view) < length:
            dropped += 1
            assert view == sorted(set(view)) and set(view) < set(range(length))
            assert view  # One stays at least.
            continue
        shuffled += 1
        assert sorted(view) == list(range(length))
        moved = [i for i, slot in enumerate(view) if i != slot]
        assert moved[-1] - moved[0] < np.ceil(3 * length / 10)
    assert dropped > 60 and shuffled > 40


def test_items_are_dropped_by_the_share():
    views = [v for v, n in zip(views_of(0.4), LENGTHS, strict=True) if n == 12]
    sizes = [len(view) for view in views if view == sorted(view) and len(view) < 12]
    assert 6.3 < np.mean(sizes) < 8.1  # Of 12 items 7.2 stay.


def test_an_empty_history_and_that_of_one_item_stay():
    for length, view in zip(LENGTHS, views_of(0.9), strict=True):
        if length < 2:
            assert view == list(range(length))


def test_a_seed_repeats_itself_and_goes_on():
    one, other = (draw_order(MASK, 0.3, seed())[0] for _ in range(2))
    np.testing.assert_array_equal(numpy(one), numpy(other))
    generator = seed()
    one, other = (draw_order(MASK, 0.3, generator)[0] for _ in range(2))
    assert not np.array_equal(numpy(one), numpy(other))


def test_no_rows_and_no_slots():
    order, kept = draw_order(MASK[:0], 0.3, seed())
    assert tuple(order.shape) == tuple(kept.shape) == (0, N)
    order, kept = draw_order(MASK[:, :0], 0.3, seed())
    assert tuple(order.shape) == tuple(kept.shape) == (len(MASK), 0)
