"""Reads KuaiSAR's tables, piece by piece in several processes, and lists bad rows."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipelines.common import job
from pipelines.common.processes import ProcessPool
from pipelines.common.progress import progress
from pipelines.common.rejects import Rejects
from pipelines.common.vocabulary import Vocabulary
from pipelines.kuaisar.reader import FIRST_LINE, BadRow, Piece, open_table
from pipelines.kuaisar.sessions import find_repeated_sessions, is_in
from pipelines.kuaisar.split import (
    ITEM_COLUMNS,
    REC_COLUMNS,
    SEARCH_COLUMNS,
    USER_COLUMNS,
    Report,
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
        UserError: A file or column is missing, or a file has no rows.
    """
    return RawTables(
        users=open_table(input_dir / "user_features.csv", USER_COLUMNS),
        items=open_table(input_dir / "item_features.csv", ITEM_COLUMNS),
        rec=open_table(input_dir / "rec_inter.csv", REC_COLUMNS),
        search=open_table(input_dir / "src_inter.csv", SEARCH_COLUMNS),
    )


@dataclasses.dataclass(frozen=True)
class Logs:
    """Contents of the files, except the rows, which are on disk.

    Attributes:
        num_items: Number of items in item_features.csv; their sorted raw ids are in
            `catalogue.npy`.
        last_time: Latest time of a well-formed row, ms.
        repeated: Session ids that belong to another user, see
            `find_repeated_sessions`.
        codes: For "query" and "source", the text of each of the job's codes.
    """

    num_items: int
    last_time: int
    repeated: np.ndarray
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
        source, reports = self._split(split_users, tables.users)
        self._reject_repeated(source, reports, "users", "user")
        self._check(source, reports)

        source, reports = self._split(split_items, tables.items)
        items = self._reject_repeated(source, reports, "items", "item")
        self._check(source, reports)
        np.save(self._work / "catalogue.npy", items)  # The logs are checked against it.

        split = functools.partial(split_rec, num_parts=num_parts)
        source, rec_reports = self._split(split, tables.rec)
        self._check(source, rec_reports)

        split = functools.partial(split_search, num_parts=num_parts)
        source, reports = self._split(split, tables.search)
        repeated = find_repeated_sessions(self._work, num_parts)
        self._reject_sessions(source, reports, repeated, num_parts)
        self._check(source, reports)
        codes = {
            name: _merge_codes(self._work / f"{name}_codes.npz", texts)
            for name, texts in (
                ("query", [report.queries for report in reports]),
                ("source", [report.sources for report in reports]),
            )
        }
        last_time = max(report.last_time for report in rec_reports + reports)
        return Logs(len(items), last_time, repeated, codes)

    def _split(
        self, split: Callable[..., Report], pieces: list[Piece]
    ) -> tuple[str, list[Report]]:
        """Splits all pieces of a table; returns its file's name and the reports."""
        name = pieces[0].path.name
        split = functools.partial(split, work=self._work)
        reports = []
        num_rows = 0
        size = sum(piece.end - piece.start for piece in pieces)
        with progress(name, size, "B") as bar:
            results = self._pool.map(split, pieces, range(len(pieces)))
            for piece, report in zip(pieces, results, strict=True):
                reports.append(report)
                for bad in report.bad:
                    self._reject(name, reports, len(reports) - 1, bad)
                report.bad.clear()
                num_rows += report.num_rows
                bar.set_postfix_str(f"{num_rows:,} rows", refresh=False)
                bar.update(piece.end - piece.start)
        return name, reports

    def _reject(self, source: str, reports: list[Report], piece: int, bad: BadRow):
        lines_before = sum(report.num_lines for report in reports[:piece])
        line = FIRST_LINE + lines_before + bad.line
        self._rejects.add(source, line, bad.reason, bad.text)

    def _reject_repeated(self, source, reports, name, owner):
        """Rejects rows of a user or item that an earlier row describes.

        Returns:
            The sorted distinct ids.
        """
        ids, lines = [], []
        for path in sorted(self._work.glob(f"{name}-?????.npz")):
            with np.load(path) as arrays:
                ids.append(arrays["id"])
                lines.append(arrays["line"])
        piece = np.repeat(np.arange(len(ids)), [len(part) for part in ids])
        ids, line = np.concatenate(ids), np.concatenate(lines)
        if not len(ids):
            raise job.UserError(f"{source} holds no well-formed row")
        found, first = np.unique(ids, return_index=True)
        for row in np.setdiff1d(np.arange(len(ids)), first).tolist():
            bad = BadRow(int(line[row]), f"{owner} described twice", f"{ids[row]}")
            self._reject(source, reports, piece[row], bad)
        return found

    def _reject_sessions(self, source, reports, repeated, num_parts):
        if not len(repeated):
            return
        for part in range(num_parts):
            search, piece = load_part(self._work, "search", part)
            for row in np.flatnonzero(is_in(search, repeated)).tolist():
                session, user = search["session"][row], search["user"][row]
                text = f"user {user}, session {session}"
                bad = BadRow(
                    int(search["line"][row]), "session id of another user", text
                )
                self._reject(source, reports, piece[row], bad)

    def _check(self, source: str, reports: list[Report]) -> None:
        num_rows = sum(report.num_rows for report in reports)
        self._rejects.check(source, num_rows, self._max_bad_fraction)


def _merge_codes(path: Path, pieces: list[list[str]]) -> list[str]:
    """Gives the texts of all pieces new codes; saves the new code of each old code.

    Returns:
        The text of each of the job's codes.
    """
    texts = Vocabulary.build(*pieces)
    np.savez(
        path,
        codes=np.concatenate([texts.encode(piece) for piece in pieces]) - 1,
        offsets=np.cumsum([0, *(len(piece) for piece in pieces)]),
    )
    return texts.raw_ids().tolist()
