"""What a job finds in one piece of a file: counts, and malformed rows."""

import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple


class BadRow(NamedTuple):
    """A malformed row."""

    line: int  # From 0, within the piece.
    reason: str
    text: str


@dataclasses.dataclass
class Report:
    """Summary of one piece.

    Attributes:
        num_lines, num_rows: Size of the piece.
        bad: Its malformed rows.
        units: Units that the times of its rows look like, see `times.count_units`.
        days: Number of well-formed rows on each day, see `times.count_days`.
        last_time: Latest time of a well-formed row.
    """

    num_lines: int
    num_rows: int
    bad: list[BadRow]
    units: Counter[str] = dataclasses.field(default_factory=Counter)
    days: Counter[int] = dataclasses.field(default_factory=Counter)
    last_time: int = 0

    def add(self, other: "Report") -> None:
        """Adds the report of another piece, except its malformed rows."""
        self.num_lines += other.num_lines
        self.num_rows += other.num_rows
        self.units.update(other.units)
        self.days.update(other.days)
        self.last_time = max(self.last_time, other.last_time)


def add_counters(counters: Iterable[Counter]) -> Counter:
    """The sum of several counters."""
    total: Counter = Counter()
    for counter in counters:
        total.update(counter)
    return total


def merge_reports(reports: Iterable[Report], kind: type[Report] = Report) -> Report:
    """The sum of the reports of several pieces, without their malformed rows.

    Args:
        reports: Reports of one kind.
        kind: Their class.
    """
    total = kind(0, 0, [])
    for report in reports:
        total.add(report)
    return total
