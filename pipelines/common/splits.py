"""Splits targets into train, validation and test, and cuts their histories."""

from typing import NamedTuple, Protocol

import numpy as np

from sar_tf.data.schema import SPLITS

NO_TARGET = -1


def leave_one_out(num_interactions: int) -> np.ndarray:
    """Splits one user's interactions: the last is test, the one before validation.

    The first interaction is no target, because nothing comes before it.

    Args:
        num_interactions: Number of the user's interactions, in chronological order.

    Returns:
        [num_interactions] split of each interaction, or `NO_TARGET`.
    """
    splits = np.full(num_interactions, SPLITS["train"], np.int64)
    splits[-2:-1] = SPLITS["validation"]
    splits[-1:] = SPLITS["test"]
    splits[:1] = NO_TARGET
    return splits


def by_time(
    timestamps: np.ndarray, validation_start: int, test_start: int
) -> np.ndarray:
    """Splits behaviors by their time.

    Args:
        timestamps: `(N,)` times, in the unit of the two starts.
        validation_start: First time of the validation split.
        test_start: First time of the test split.

    Returns:
        `(N,)` split of each behavior.

    Raises:
        ValueError: The validation split starts after the test split.
    """
    if validation_start > test_start:
        raise ValueError(f"validation starts at {validation_start}, after the test set")
    order = np.array([SPLITS["train"], SPLITS["validation"], SPLITS["test"]], np.int64)
    return order[np.searchsorted([validation_start, test_start], timestamps, "right")]


class Splits(Protocol):
    """A rule that splits a user's targets."""

    def of(self, times: np.ndarray, target_behavior: np.ndarray) -> np.ndarray:
        """`(T,)` split of each target.

        Args:
            times: `(N,)` times of the user's behaviors, never decreasing.
            target_behavior: `(T,)` index of each target's behavior, never decreasing.
        """


class TimeSplits(NamedTuple):
    """Splits by time, see `by_time`."""

    validation_start: int
    test_start: int

    def of(self, times: np.ndarray, target_behavior: np.ndarray) -> np.ndarray:
        return by_time(times[target_behavior], self.validation_start, self.test_start)


class LastSplits(NamedTuple):
    """The targets of a user's last behavior that has some are test, in order of time.

    Those of the behavior before it are validation, all others train. Behaviors of both
    types count alike, so that no history of training has a click of test.
    """

    def of(self, times: np.ndarray, target_behavior: np.ndarray) -> np.ndarray:
        distinct, place = np.unique(target_behavior, return_inverse=True)
        # The first interaction, which has no history, is not among these.
        return leave_one_out(len(distinct) + 1)[1:][place]


def history_ends(timestamps: np.ndarray, target_behavior: np.ndarray) -> np.ndarray:
    """Counts the behaviors strictly earlier than each target: its history's length.

    Behaviors at the target's own time are left out, because they would leak it.

    Args:
        timestamps: `(N,)` times of one user's sequence, never decreasing.
        target_behavior: `(T,)` index of each target's behavior in the sequence.

    Returns:
        `(T,)` ends of histories: the history of a target is sequence[:end].
    """
    return np.searchsorted(timestamps, timestamps[target_behavior], side="left")
