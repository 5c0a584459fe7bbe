"""Reads KuaiSAR's tables, piece by piece in several processes, and lists bad rows."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.common import times
from pipelines.common.codes import CODES, save_codes
from pipelines.common.described import Described, first_rows
from pipelines.common.job import UserError
from pipelines.common.processes import ProcessPool
from pipelines.common.progress import progress
from pipelines.common.rejects import Rejects
from pipelines.common.report import BadRow, Report, add_counters
from pipelines.common.shuffle import load_chunks
from pipelines.kuaisar.parse import (
    FAR,
    ITEM_COLUMNS,
    REC_COLUMNS,
    REC_TIME,
    SEARCH_COLUMNS,
    SEARCH_TIME,
    TIME_UNIT,
    USER_COLUMNS,
)
from pipelines.kuaisar.reader import FIRST_LINE, Piece, open_table
from pipelines.kuaisar.repeats import SESSION, foreign_pairs
from pipelines.kuaisar.split import split_items, split_rec, split_search, split_users
from sar_tf.paths import AnyPath


@dataclasses.dataclass(frozen=True)
class RawTables:
    """The pieces of the four files that the job reads."""

    users: list[Piece]
    items: list[Piece]
    rec: list[Piece]
    search: list[Piece]

    @property
    def log_bytes(self) -> int:
        """Size of both logs."""
        return sum(piece.end - piece.start for piece in self.rec + self.search)


def open_tables(input_dir: AnyPath) -> RawTables:
    """Checks the headers of all files and cuts the files into pieces.

    Raises:
        UserError: Names all missing files and columns, and files without rows.
    """
    if not input_dir.is_dir():
        raise UserError(f"--input_dir {input_dir}: no such folder")
    tables, problems = {}, []
    for table, name, columns in (
        ("users", "user_features.csv", USER_COLUMNS),
        ("items", "item_features.csv", ITEM_COLUMNS),
        ("rec", "rec_inter.csv", REC_COLUMNS),
        ("search", "src_inter.csv", SEARCH_COLUMNS),
    ):
        try:
            tables[table] = open_table(input_dir / name, columns)
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError(". ".join(problems))
    return RawTables(**tables)


class Logs(NamedTuple):
    """Contents of the files, except the rows, which are on disk.

    Attributes:
        num_items: Number of items in item_features.csv.
        last_time: Latest time of a well-formed row, ms.
    """

    num_items: int
    last_time: int


class LogReader:
    """Reads the files and lays their rows out on disk, in parts by user.

    Args:
        work: Folder for files that the job makes and removes.
        pool: The processes that read.
        rejects: Collects the malformed rows.
        max_bad_fraction: Largest share of malformed rows in a file.
        num_parts: Number of parts that the rows of both logs are laid out in.
    """

    def __init__(
        self,
        work: Path,
        pool: ProcessPool,
        rejects: Rejects,
        max_bad_fraction: float,
        num_parts: int,
    ):
        self._work = work
        self._pool = pool
        self._rejects = rejects
        self._max_bad_fraction = max_bad_fraction
        self._num_parts = num_parts

    def read_tables(self, tables: RawTables) -> int:
        """Reads the users and the items, and gives the number of items.

        Raises:
            UserError: Too many rows of a file are malformed.
        """
        users = self._split(split_users, tables.users)
        self._check(users)
        self._reject_repeated(users, "user")
        self._check(users)
        items = self._split(split_items, tables.items)
        self._check(items)
        catalogue = self._reject_repeated(items, "item")
        self._check(items)
        # The logs are checked against it.
        save_codes(self._work, "item", catalogue)
        return len(catalogue)

    def read_logs(self, tables: RawTables) -> tuple["Table", "Table", int]:
        """Reads both logs, without rows on days far from all others.

        Returns:
            Their tables, and the latest time of a well-formed row.

        Raises:
            UserError: Too many rows of a file are malformed.
        """
        found = []
        for split, pieces, column in (
            (split_rec, tables.rec, REC_TIME),
            (split_search, tables.search, SEARCH_TIME),
        ):
            split = functools.partial(split, num_parts=self._num_parts)
            table = self._split(split, pieces)
            table.require_unit(column)
            self._check(table)
            found.append(table)
        rec, search = found
        days = times.usual_days(rec.days + search.days)
        self._reject_far(rec, days)
        self._reject_far(search, days)
        last = max(report.last_time for report in rec.reports + search.reports)
        return rec, search, last

    def find_foreign_sessions(self) -> np.ndarray:
        """[n] rows of SESSION: see `foreign_pairs`."""
        found = (
            foreign_pairs(np.concatenate(load_chunks(self._work, "sessions", part)))
            for part in range(self._num_parts)
        )
        return np.concatenate([np.zeros(0, SESSION), *found])

    def save_code_tables(self) -> None:
        """Saves the keys of all queries and sources, see `save_codes`."""
        for kind in CODES:
            paths = sorted(self._work.glob(f"{kind}-keys-*.npy"))
            keys = np.concatenate([np.load(path) for path in paths])
            save_codes(self._work, kind, np.unique(keys))

    def reject(self, table: "Table", rows: Iterable[tuple[int, BadRow]]) -> None:
        """Lists malformed rows, each with its piece, and checks their share."""
        for piece, row in rows:
            self._reject(table, piece, [row])
        self._check(table)

    def _split(self, split: Callable[..., Report], pieces: list[Piece]) -> "Table":
        """Splits all pieces of a table and lists their malformed rows."""
        table = Table(functools.partial(split, work=self._work), pieces)
        num_rows = 0
        with progress(table.name, table.num_bytes, "B") as bar:
            results = self._pool.map(table.split, pieces, range(len(pieces)))
            for piece, report in zip(pieces, results, strict=True):
                table.reports.append(report)
                self._reject(table, len(table.reports) - 1, report.bad)
                report.bad.clear()
                num_rows += report.num_rows
                bar.set_postfix_str(f"{num_rows:,} rows", refresh=False)
                bar.update(piece.end - piece.start)
        return table

    def _reject(self, table: "Table", piece: int, rows: Iterable[BadRow]) -> None:
        lines_before = sum(report.num_lines for report in table.reports[:piece])
        for row in rows:
            line = FIRST_LINE + lines_before + row.line
            self._rejects.add(table.name, line, row.reason, row.text)

    def _reject_far(self, table: "Table", days: tuple[int, int]) -> None:
        """Splits again the pieces that have rows on other days, without these rows."""
        split = functools.partial(table.split, days=days)
        for index, report in enumerate(table.reports):
            if days[0] <= min(report.days, default=days[0]) and (
                max(report.days, default=days[1]) <= days[1]
            ):
                continue
            report = split(table.pieces[index], index)
            far = [bad for bad in report.bad if bad.reason == FAR]
            report.bad.clear()
            table.reports[index] = report
            self._reject(table, index, far)

    def _reject_repeated(self, table: "Table", owner: str) -> np.ndarray:
        """Rejects rows of a user or item that an earlier row describes.

        Returns:
            The sorted distinct ids.
        """
        pieces = []
        for index, path in enumerate(sorted(self._work.glob(f"{owner}s-?????.npz"))):
            with np.load(path) as arrays:
                rows = Described(arrays["id"], arrays["line"], {})
                pieces.append((index, rows))
        first, others = first_rows(pieces)
        for piece, line, raw_id in others:
            bad = BadRow(line, f"{owner} described twice", f"{raw_id}")
            self._reject(table, piece, [bad])
        return np.sort(first.keys)

    def _check(self, table: "Table") -> None:
        self._rejects.check(table.name, table.num_rows, self._max_bad_fraction)


@dataclasses.dataclass
class Table:
    """A file, the function that splits its pieces, and the reports of the pieces."""

    split: Callable[..., Report]
    pieces: list[Piece]
    reports: list[Report] = dataclasses.field(default_factory=list)

    @property
    def name(self) -> str:
        return self.pieces[0].path.name

    @property
    def num_bytes(self) -> int:
        return sum(piece.end - piece.start for piece in self.pieces)

    @property
    def num_rows(self) -> int:
        return sum(report.num_rows for report in self.reports)

    @property
    def days(self) -> Counter[int]:
        return add_counters(report.days for report in self.reports)

    def require_unit(self, column: str) -> None:
        """Fails if most times are in another unit than milliseconds."""
        units = add_counters(report.units for report in self.reports)
        times.require_unit(units, TIME_UNIT, self.name, column)
