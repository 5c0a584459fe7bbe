import numpy as np
import pytest

from pipelines.common.splits import NO_TARGET, by_time, history_ends, leave_one_out

TRAIN, VALIDATION, TEST = 0, 1, 2


@pytest.mark.parametrize(
    "num_interactions, expected",
    [
        (0, []),
        (1, [NO_TARGET]),
        (2, [NO_TARGET, TEST]),
        (3, [NO_TARGET, VALIDATION, TEST]),
        (5, [NO_TARGET, TRAIN, TRAIN, VALIDATION, TEST]),
    ],
)
def test_leave_one_out(num_interactions, expected):
    assert leave_one_out(num_interactions).tolist() == expected


def test_split_by_time_gives_a_start_to_what_it_starts():
    splits = by_time(np.array([0, 9, 10, 19, 20, 99]), 10, 20)

    assert splits.tolist() == [TRAIN, TRAIN, VALIDATION, VALIDATION, TEST, TEST]


def test_split_by_time_without_a_validation_period():
    assert by_time(np.array([9, 10]), 10, 10).tolist() == [TRAIN, TEST]
    with pytest.raises(ValueError, match="after the test set"):
        by_time(np.array([9]), 11, 10)


def test_history_leaves_out_all_behaviors_of_the_same_time():
    timestamps = np.array([1, 1, 2, 2, 2, 5])
    targets = np.array([1, 2, 4, 5])

    assert history_ends(timestamps, targets).tolist() == [0, 2, 2, 5]
