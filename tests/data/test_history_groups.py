"""Groups of histories: as few padded slots as any cuts leave."""

import itertools

import numpy as np
import pytest

from sar_tf.data.history_groups import group_ends

_LONGEST = 8


def _slots(lengths, ends):
    """Slots of all groups, each as wide as its longest history, at least 1."""
    return sum(
        (end - start) * max(lengths[end - 1], 1)
        for start, end in itertools.pairwise([0, *ends])
        if end > start
    )


def _fewest_slots(lengths, num_groups):
    rows = range(len(lengths) + 1)
    cuts = itertools.combinations_with_replacement(rows, num_groups - 1)
    return min(_slots(lengths, [*cut, len(lengths)]) for cut in cuts)


@pytest.mark.parametrize("num_groups", [1, 2, 3, 5])
def test_no_other_cuts_have_fewer_slots(num_groups):
    rng = np.random.default_rng(num_groups)
    for number in range(12):
        lengths = np.sort(rng.integers(0, _LONGEST + 1, number)).astype("int32")
        ends = group_ends(lengths, num_groups, _LONGEST).numpy()
        assert len(ends) == num_groups
        assert ends[-1] == number
        assert (np.diff(ends, prepend=0) >= 0).all()
        assert _slots(lengths, ends) == _fewest_slots(lengths, num_groups)


def test_by_hand():
    lengths = np.array([1, 1, 1, 2, 2, 9, 9, 30], "int32")
    assert group_ends(lengths, 2, 30).numpy().tolist() == [7, 8]
    assert group_ends(lengths, 3, 30).numpy().tolist() == [5, 7, 8]
    assert group_ends(lengths, 4, 30).numpy().tolist() == [3, 5, 7, 8]
