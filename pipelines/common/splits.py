"""Which behaviors are targets of which split, and what each target may see."""

import numpy as np

from sar_tf.data.schema import SPLITS

NO_TARGET = -1


def leave_one_out(num_interactions: int) -> np.ndarray:
    """Splits one user's chronological interactions: last = test, before = validation.

    The first interaction is no target, since nothing comes before it.

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
    """Splits behaviors by when they happened; both starts belong to what they start.

    Args:
        timestamps: [N] in the unit of the two starts.

    Returns:
        [N] split of each behavior.
    """
    if validation_start > test_start:
        raise ValueError(f"validation starts at {validation_start}, after the test set")
    order = np.array([SPLITS["train"], SPLITS["validation"], SPLITS["test"]], np.int64)
    return order[np.searchsorted([validation_start, test_start], timestamps, "right")]


def history_ends(timestamps: np.ndarray, target_behavior: np.ndarray) -> np.ndarray:
    """How many behaviors are strictly earlier than each target: its history's length.

    Behaviors at the target's own time are left out, or they would give it away.

    Args:
        timestamps: [N] of one user's sequence, never decreasing.
        target_behavior: [T] index of each target's behavior in the sequence.

    Returns:
        [T]; the history of a target is sequence[:end].
    """
    return np.searchsorted(timestamps, timestamps[target_behavior], side="left")
