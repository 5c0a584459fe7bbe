"""Splits targets into train, validation and test, and cuts their histories."""

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
        timestamps: [N] times, in the unit of the two starts.
        validation_start: First time of the validation split.
        test_start: First time of the test split.

    Returns:
        [N] split of each behavior.

    Raises:
        ValueError: The validation split starts after the test split.
    """
    if validation_start > test_start:
        raise ValueError(f"validation starts at {validation_start}, after the test set")
    order = np.array([SPLITS["train"], SPLITS["validation"], SPLITS["test"]], np.int64)
    return order[np.searchsorted([validation_start, test_start], timestamps, "right")]


def history_ends(timestamps: np.ndarray, target_behavior: np.ndarray) -> np.ndarray:
    """Counts the behaviors strictly earlier than each target: its history's length.

    Behaviors at the target's own time are left out, because they would leak it.

    Args:
        timestamps: [N] times of one user's sequence, never decreasing.
        target_behavior: [T] index of each target's behavior in the sequence.

    Returns:
        [T] ends of histories: the history of a target is sequence[:end].
    """
    return np.searchsorted(timestamps, timestamps[target_behavior], side="left")
