"""Plausible times of a log: one rule for all jobs, see `pipelines/README.md`."""

import time
from collections import Counter
from collections.abc import Mapping

import numpy as np

from pipelines.common.job import UserError

UNITS = {  # Name -> number in a second.
    "seconds": 1,
    "milliseconds": 10**3,
    "microseconds": 10**6,
    "nanoseconds": 10**9,
}
DAY_SECONDS = 86_400
EARLIEST = 631_152_000  # 1990-01-01, in seconds.
MAX_GAP_DAYS = 365
NEARLY_ALL = 0.99  # Share of rows.
USUAL_GAPS = 10


def plausible(times: np.ndarray, unit: str) -> np.ndarray:
    """[rows] whether times lie between the year 1990 and tomorrow.

    Args:
        times: [rows] time since 1970.
        unit: Name of the unit in `UNITS`.
    """
    latest = int(time.time()) + DAY_SECONDS
    per_second = UNITS[unit]
    return (times >= EARLIEST * per_second) & (times <= latest * per_second)


def count_units(times: np.ndarray) -> Counter[str]:
    """Number of times that are plausible in each unit, and in none ("none")."""
    counts = Counter({name: int(plausible(times, name).sum()) for name in UNITS})
    counts["none"] = len(times) - counts.total()
    return counts


def require_unit(counts: Counter[str], unit: str, source: str, column: str) -> None:
    """Fails if most times of a file are in another unit than the job reads.

    Args:
        counts: The file's times, see `count_units`.
        unit: Name of the unit that the job reads.
        source: Name of the file.
        column: Name of the column.

    Raises:
        UserError: Names the file, the column and the unit that fits.
    """
    found, rows = max(counts.items(), key=lambda pair: pair[1], default=("none", 0))
    if found in (unit, "none") or 2 * rows <= counts.total():
        return
    raise UserError(
        f"{source}: {rows} of {counts.total()} times in {column!r} look like {found}, "
        f"but the job reads {unit}; convert the column"
    )


def count_days(times: np.ndarray, unit: str) -> Counter[int]:
    """Number of rows on each day since 1970, in UTC."""
    days, rows = np.unique(times // (DAY_SECONDS * UNITS[unit]), return_counts=True)
    return Counter(dict(zip(days.tolist(), rows.tolist(), strict=True)))


def usual_days(rows: Mapping[int, int]) -> tuple[int, int]:
    """The first and the last day of a log, without days far from all others.

    The log is the stretch of days with the most rows that has no gap of more than 365
    days. If it holds 99% of all rows, another day is far from it when it is more than
    365 days away, and more than ten times the longest gap inside the stretch: the
    first years of a log can have few rows.

    Args:
        rows: Number of rows on each day; not empty.
    """
    days = np.array(sorted(rows))
    num_rows = np.array([rows[day] for day in days.tolist()])
    cuts = np.flatnonzero(np.diff(days) > MAX_GAP_DAYS) + 1
    stretch_rows = np.add.reduceat(num_rows, [0, *cuts])
    largest = int(stretch_rows.argmax())
    if stretch_rows[largest] < NEARLY_ALL * num_rows.sum():
        return int(days[0]), int(days[-1])
    stretch = np.split(days, cuts)[largest]
    # Every other day is more than 365 days away from the stretch.
    reach = USUAL_GAPS * int(np.diff(stretch).max(initial=0))
    usual = days[(days >= stretch[0] - reach) & (days <= stretch[-1] + reach)]
    return int(usual[0]), int(usual[-1])


def within_days(times: np.ndarray, unit: str, days: tuple[int, int]) -> np.ndarray:
    """[rows] whether times lie on one of the days from the first to the last."""
    day = times // (DAY_SECONDS * UNITS[unit])
    return (day >= days[0]) & (day <= days[1])
