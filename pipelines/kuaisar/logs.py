"""Reads KuaiSAR's tables, piece by piece in several processes, and lists bad rows."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from pipelines.common import times
from pipelines.common.disk import save_array, save_arrays
from pipelines.common.job import UserError
from pipelines.common.processes import ProcessPool
from pipelines.common.progress import progress
from pipelines.common.rejects import Rejects
from pipelines.common.report import BadRow, Report, add_counters
from pipelines.common.vocabulary import Vocabulary
from pipelines.kuaisar.reader import FIRST_LINE, Piece, open_table
from pipelines.kuaisar.repeats import (
    find_foreign_sessions,
    find_repeated_clicks,
    is_foreign,
)
from pipelines.kuaisar.split import (
    FAR,
    ITEM_COLUMNS,
    REC_COLUMNS,
    REC_TIME,
    SEARCH_COLUMNS,
    SEARCH_TIME,
    TIME_UNIT,
    USER_COLUMNS,
    load_part,
    split_items,
    split_rec,
    split_search,
    split_users,
)


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


def open_tables(input_dir: Path) -> RawTables:
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


@dataclasses.dataclass(frozen=True)
class Logs:
    """Contents of the files, except the rows, which are on disk.

    Attributes:
        num_items: Number of items in item_features.csv; their sorted raw ids are in
            `catalogue.npy`.
        last_time: Latest time of a well-formed row, ms.
        foreign: Sessions that belong to another user, see `find_foreign_sessions`.
        codes: For "query" and "source", the text of each of the job's codes.
    """

    num_items: int
    last_time: int
    foreign: np.ndarray
    codes: dict[str, list[str]]


class LogReader:
    """Reads the files and lays their rows out on disk, see `split`.

    Args:
        work: Folder for files that the job makes and removes.
        pool: The processes that read.
        rejects: Collects the malformed rows.
        max_bad_fraction: Largest share of malformed rows in a file.
    """

    def __init__(
        self, work: Path, pool: ProcessPool, rejects: Rejects, max_bad_fraction: float
    ):
        self._work = work
        self._pool = pool
        self._rejects = rejects
        self._max_bad_fraction = max_bad_fraction

    def read(self, tables: RawTables, num_parts: int) -> Logs:
        """Reads all files.

        Args:
            tables: See `open_tables`.
            num_parts: Number of parts that the rows of both logs are laid out in.

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
        save_array(self._work / "catalogue.npy", catalogue)

        split = functools.partial(split_rec, num_parts=num_parts)
        rec = self._split(split, tables.rec)
        rec.require_unit(REC_TIME)
        self._check(rec)

        split = functools.partial(split_search, num_parts=num_parts)
        search = self._split(split, tables.search)
        search.require_unit(SEARCH_TIME)
        self._check(search)

        days = times.usual_days(rec.days + search.days)
        self._reject_far(rec, days)
        self._reject_far(search, days)
        self._reject_clicks(rec, num_parts)
        self._check(rec)
        foreign = find_foreign_sessions(self._work, num_parts)
        self._reject_sessions(search, foreign, num_parts)
        self._check(search)
        codes = {
            name: _merge_codes(self._work / f"{name}_codes.npz", texts)
            for name, texts in (
                ("query", [report.queries for report in search.reports]),
                ("source", [report.sources for report in search.reports]),
            )
        }
        last_time = max(report.last_time for report in rec.reports + search.reports)
        return Logs(len(catalogue), last_time, foreign, codes)

    def _split(self, split: Callable[..., Report], pieces: list[Piece]) -> "_Table":
        """Splits all pieces of a table and lists their malformed rows."""
        table = _Table(functools.partial(split, work=self._work), pieces)
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

    def _reject(self, table: "_Table", piece: int, rows: Iterable[BadRow]) -> None:
        lines_before = sum(report.num_lines for report in table.reports[:piece])
        for row in rows:
            line = FIRST_LINE + lines_before + row.line
            self._rejects.add(table.name, line, row.reason, row.text)

    def _reject_far(self, table: "_Table", days: tuple[int, int]) -> None:
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

    def _reject_repeated(self, table: "_Table", owner: str) -> np.ndarray:
        """Rejects rows of a user or item that an earlier row describes.

        Returns:
            The sorted distinct ids.
        """
        ids, lines = [], []
        for path in sorted(self._work.glob(f"{owner}s-?????.npz")):
            with np.load(path) as arrays:
                ids.append(arrays["id"])
                lines.append(arrays["line"])
        piece = np.repeat(np.arange(len(ids)), [len(part) for part in ids])
        all_ids, line = np.concatenate(ids), np.concatenate(lines)
        found, first = np.unique(all_ids, return_index=True)
        for row in np.setdiff1d(np.arange(len(all_ids)), first).tolist():
            bad = BadRow(int(line[row]), f"{owner} described twice", f"{all_ids[row]}")
            self._reject(table, piece[row], [bad])
        return found

    def _reject_clicks(self, table: "_Table", num_parts: int) -> None:
        find = functools.partial(find_repeated_clicks, work=self._work)
        for rows, pieces in self._pool.map(find, range(num_parts)):
            for row, piece in zip(rows, pieces.tolist(), strict=True):
                text = f"{row['user']} {row['item']} {row['time']}"
                bad = BadRow(int(row["line"]), "repeated click", text)
                self._reject(table, piece, [bad])

    def _reject_sessions(
        self, table: "_Table", foreign: np.ndarray, num_parts: int
    ) -> None:
        for part in range(num_parts if len(foreign) else 0):
            search, piece = load_part(self._work, "search", part)
            for row in np.flatnonzero(is_foreign(search, foreign)).tolist():
                session, user = search["session"][row], search["user"][row]
                text = f"user {user}, session {session}"
                bad = BadRow(
                    int(search["line"][row]), "session id of another user", text
                )
                self._reject(table, piece[row], [bad])

    def _check(self, table: "_Table") -> None:
        self._rejects.check(table.name, table.num_rows, self._max_bad_fraction)


@dataclasses.dataclass
class _Table:
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


def _merge_codes(path: Path, pieces: list[list[str]]) -> list[str]:
    """Gives the texts of all pieces new codes; saves the new code of each old code.

    Returns:
        The text of each of the job's codes.
    """
    texts = Vocabulary.build(*pieces)
    save_arrays(
        path,
        codes=np.concatenate([texts.encode(piece) for piece in pieces]) - 1,
        offsets=np.cumsum([0, *(len(piece) for piece in pieces)]),
    )
    return texts.raw_ids().tolist()
