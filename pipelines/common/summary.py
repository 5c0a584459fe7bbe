"""The end of a job: what it read, dropped and kept."""

import numpy as np

from pipelines.common.job import UserError


def require_targets(targets: np.ndarray) -> None:
    """Fails if train, validation or test has no target of any task.

    Args:
        targets: [tasks, splits] number of targets.

    Raises:
        UserError: Names the empty splits.
    """
    from sar_tf.data.schema import SPLITS  # It imports TensorFlow.

    counts = {name: int(targets[:, split].sum()) for name, split in SPLITS.items()}
    empty = [name for name, count in counts.items() if not count]
    if empty:
        found = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise UserError(
            f"no target falls into {' and '.join(empty)} (targets: {found}); the log "
            "is too short for the job's splits, or some of its times are wrong; "
            "--allow_empty_splits makes the dataset in spite of it"
        )
