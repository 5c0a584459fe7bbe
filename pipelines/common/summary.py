"""The end of a job: a table of what it read, dropped and kept."""

import itertools
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pipelines.common.job import UserError
from pipelines.common.rejects import Rejects


class Step(NamedTuple):
    """What is left of the logs after a rule; events are behaviors."""

    rule: str
    users: int
    items: int
    events: int


def finish(
    rejects: Rejects,
    steps: Sequence[Step],
    targets: np.ndarray,
    *,
    notes: Mapping[str, int] | None = None,
    allow_empty_splits: bool = False,
    log_end: str = "",
) -> None:
    """Prints on stderr what a job read, dropped and kept, and fails on an empty split.

    Args:
        rejects: The job's malformed rows; every file was checked.
        steps: What the logs hold, then what is left after each rule, in order.
        targets: `(tasks, splits)` number of targets.
        notes: Other numbers to print.
        allow_empty_splits: Whether train, validation or test may have no target.
        log_end: The log's last day, if the splits depend on it.

    Raises:
        UserError: Names the empty splits.
    """
    print(summary_text(rejects, steps, targets, notes or {}), file=sys.stderr)
    if not allow_empty_splits:
        require_targets(targets, log_end)


def summary_text(
    rejects: Rejects,
    steps: Sequence[Step],
    targets: np.ndarray,
    notes: Mapping[str, int],
) -> str:
    """The text that `finish` prints; arguments as there."""
    from sar_tf.data.schema import SPLITS, TASKS  # It imports TensorFlow.

    rows: list[tuple] = [("file", "rows read", "rejected")]
    for source, num_rows in rejects.num_rows.items():
        reasons = rejects.counts.get(source, {})
        rows.append((source, num_rows, sum(reasons.values())))
        rows += [(f"  {reason}", "", count) for reason, count in reasons.items()]
    kept: list[tuple] = [("", "users", "items", "events"), steps[0]]
    for before, after in itertools.pairwise(steps):
        dropped = (was - left for was, left in zip(before[1:], after[1:], strict=True))
        kept.append((f"dropped: {after.rule}", *dropped))
    kept.append(("kept", *steps[-1][1:]))
    by_split: list[tuple] = [("targets", *SPLITS)]
    for task, index in TASKS.items():
        by_split.append((task, *(targets[index, split] for split in SPLITS.values())))
    tables = [rows, kept, by_split, list(notes.items())]
    return "\n\n".join(_aligned(table) for table in tables if table)


def _aligned(rows: Sequence[tuple]) -> str:
    """Lines of columns of equal width: the first to the left, numbers to the right."""
    texts = [
        [cell if isinstance(cell, str) else f"{cell:,}" for cell in row] for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return "\n".join(
        "  ".join(
            [first.ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        )
        for first, *cells in texts
    )


def require_targets(targets: np.ndarray, log_end: str = "") -> None:
    """Fails if train, validation or test has no target of any task.

    Args:
        targets: `(tasks, splits)` number of targets.
        log_end: The log's last day, if the splits depend on it.

    Raises:
        UserError: Names the empty splits.
    """
    from sar_tf.data.schema import SPLITS  # It imports TensorFlow.

    counts = {name: int(targets[:, split].sum()) for name, split in SPLITS.items()}
    empty = [name for name, count in counts.items() if not count]
    if empty:
        found = ", ".join(f"{name} {count}" for name, count in counts.items())
        end = f", the log ends on {log_end}" if log_end else ""
        raise UserError(
            f"no target falls into {' and '.join(empty)} (targets: {found}{end}); the "
            "log is too short for the job's splits, or some of its times are wrong; "
            "--allow_empty_splits makes the dataset in spite of it"
        )
