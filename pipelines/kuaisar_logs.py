"""Reads KuaiSAR's tables as a whole, piece by piece in several processes."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipelines import job
from pipelines.kuaisar_group import find_repeated_sessions, is_in
from pipelines.kuaisar_reader import FIRST_LINE, BadRow, Piece
from pipelines.kuaisar_split import (
    Report,
    load_part,
    split_items,
    split_rec,
    split_search,
    split_users,
)
from pipelines.rejects import Rejects
from pipelines.vocabulary import Vocabulary
from pipelines.workers import Workers


@dataclasses.dataclass
class Logs:
    """What the logs hold, beside the rows that were laid out on disk.

    Attributes:
        last_time: Latest time of a row in ms, malformed rows left out.
        repeated: Session ids that another user had before, see
            `find_repeated_sessions`.
        codes: For "query" and "source", the text of each of the job's codes.
    """

    last_time: int
    repeated: np.ndarray
    codes: dict[str, list[str]]


class LogReader:
    """Reads the tables and lays their rows out on disk; see kuaisar_split.

    Args:
        work: Folder for files that the job makes and removes.
        workers: Who reads.
        rejects: Where malformed rows go.
        max_bad_fraction: Share of a table's rows that may be malformed.
    """

    def __init__(
        self, work: Path, workers: Workers, rejects: Rejects, max_bad_fraction: float
    ):
        self._work = work
        self._workers = workers
        self._rejects = rejects
        self._max_bad_fraction = max_bad_fraction

    def read_users(self, pieces: list[Piece]) -> None:
        """Reads user_features.csv."""
        source, reports = self._split(split_users, pieces)
        self._reject_repeated(source, reports, "users", "user")
        self._check(source, reports)

    def read_items(self, pieces: list[Piece]) -> int:
        """Reads item_features.csv and saves its sorted ids as catalogue.npy.

        Returns:
            The number of items.
        """
        source, reports = self._split(split_items, pieces)
        items = self._reject_repeated(source, reports, "items", "item")
        self._check(source, reports)
        np.save(self._work / "catalogue.npy", items)
        return len(items)

    def read_logs(self, rec: list[Piece], search: list[Piece], num_parts: int) -> Logs:
        """Reads rec_inter.csv and src_inter.csv; the items come before.

        Args:
            rec, search: Their pieces.
            num_parts: Parts to lay the rows out in.
        """
        split = functools.partial(split_rec, num_parts=num_parts)
        source, rec_reports = self._split(split, rec)
        self._check(source, rec_reports)
        split = functools.partial(split_search, num_parts=num_parts)
        source, reports = self._split(split, search)
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
        return Logs(last_time, repeated, codes)

    def _split(
        self, split: Callable[..., Report], pieces: list[Piece]
    ) -> tuple[str, list[Report]]:
        """Splits all pieces of a table; returns its file's name and the reports."""
        name = pieces[0].path.name
        split = functools.partial(split, work=self._work)
        reports = []
        num_rows = 0
        size = sum(piece.end - piece.start for piece in pieces)
        with job.progress(name, size, "B") as bar:
            results = self._workers.map(split, pieces, range(len(pieces)))
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
        """Rejects rows about a user or item that was described before.

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
    """Saves, for each piece and code in it, the job's code of the same text.

    Returns:
        The text of each of the job's codes.
    """
    texts = Vocabulary.build(*pieces)
    np.savez(
        path,
        codes=np.concatenate([texts.encode(piece) for piece in pieces]) - 1,
        offsets=np.cumsum([0, *(len(piece) for piece in pieces)]),
    )
    return texts.decode(np.arange(1, len(texts) + 1)).tolist()
