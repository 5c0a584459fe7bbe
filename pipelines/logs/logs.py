"""Reads all tables, piece by piece in several processes, and lists malformed rows."""

import functools
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from pipelines.common import times
from pipelines.common.keys import NO_KEY
from pipelines.common.processes import ProcessPool
from pipelines.common.progress import progress
from pipelines.common.rejects import Rejects
from pipelines.common.report import BadRow, Report
from pipelines.logs.events import EventReport, split_events
from pipelines.logs.features import read_features
from pipelines.logs.files import Piece
from pipelines.logs.group import KINDS, BadPlace
from pipelines.logs.reader import FIRST_LINES, row_texts
from pipelines.logs.sources import Source
from sar_tf.paths import AnyPath


class Logs(NamedTuple):
    """Contents of the tables of events, except the rows, which are on disk."""

    keys: dict[str, np.ndarray]  # Sorted keys of "item", "query" and "source".
    days: tuple[int, int]  # First and last usual day.
    last_time: int
    num_rec: int
    num_search: int
    notes: dict[str, int]


class TableReader:
    """Reads pieces of tables in several processes and lists their malformed rows.

    Args:
        work: Folder for files that the job makes and removes.
        pool: The processes that read.
        rejects: Collects the malformed rows.
        max_bad_fraction: Largest share of malformed rows in a table.
    """

    def __init__(
        self,
        work: AnyPath,
        pool: ProcessPool,
        rejects: Rejects,
        max_bad_fraction: float,
    ):
        self.work = work
        self.pool = pool
        self._rejects = rejects
        self._max_bad_fraction = max_bad_fraction
        self._pieces: list[Piece] = []  # Of events.
        self._lines_before: list[int] = []
        self._num_rows: Counter[str] = Counter()

    def read(self, source: Source, read: Callable[..., Report], *arguments: Iterable):
        """Yields the report of each piece of a table, without its malformed rows."""
        lines: Counter[AnyPath] = Counter()
        num_bytes = sum(piece.num_bytes for piece in source.pieces)
        num_rows = 0
        with progress(source.pieces[0].name, num_bytes, "B") as bar:
            reports = self.pool.map(read, source.pieces, *arguments)
            for piece, report in zip(source.pieces, reports, strict=True):
                self._lines_before.append(lines[piece.path])
                self._pieces.append(piece)
                self._reject(len(self._pieces) - 1, report.bad)
                report.bad = []
                lines[piece.path] += report.num_lines
                self._num_rows[piece.name] += report.num_rows
                num_rows += report.num_rows
                yield report
                bar.set_postfix_str(f"{num_rows:,} rows", refresh=False)
                bar.update(piece.num_bytes)
        self.check(source)

    def check(self, source: Source) -> None:
        """Fails if too many rows of one of a table's files are malformed."""
        for name in dict.fromkeys(piece.name for piece in source.pieces):
            self._rejects.check(name, self._num_rows[name], self._max_bad_fraction)

    def reject_places(self, places: Iterable[BadPlace]) -> None:
        """Lists malformed rows of events, which are read again for their texts."""
        of_piece: dict[int, list[BadPlace]] = defaultdict(list)
        for place in sorted(places):
            of_piece[place.piece].append(place)
        names = {}
        for index, own in of_piece.items():
            piece = self._pieces[index]
            texts = row_texts(piece, [place.line for place in own])
            rows = [
                BadRow(place.line, place.reason, text)
                for place, text in zip(own, texts, strict=True)
            ]
            self._reject(index, rows)
            names[piece.name] = Source(None, [piece])
        for source in names.values():
            self.check(source)

    def read_features(self, owner: str, source: Source) -> tuple[np.ndarray, dict]:
        """Reads a table of items or users.

        Returns:
            [n] keys of the described kept owners, and the n values of each column.
        """
        first = len(self._pieces)
        read = functools.partial(read_features, reading=source.reading, work=self.work)
        keys, places, kept, kept_keys = [], [], [], []
        values: dict[str, list] = {}
        start = 0
        for index, report in enumerate(self.read(source, read)):
            keys.append(report.keys)
            piece = np.full(len(report.keys), first + index)
            places.append(np.stack([piece, report.line]))
            kept.append(start + report.kept)
            kept_keys.append(report.keys[report.kept])
            start += len(report.keys)
            for name, column in report.values.items():
                values.setdefault(name, []).extend(column)
        all_keys = np.concatenate(keys)
        is_first = np.zeros(len(all_keys), bool)
        is_first[np.unique(all_keys, return_index=True)[1]] = True
        repeated = np.concatenate(places, axis=1)[:, ~is_first].T.tolist()
        reason = f"{owner} described twice"
        self.reject_places(BadPlace(*place, reason) for place in repeated)
        counts = is_first[np.concatenate(kept)]
        chosen = np.flatnonzero(counts).tolist()
        values = {name: [rows[at] for at in chosen] for name, rows in values.items()}
        columns = source.reading.columns
        for name in (*columns.categorical, *columns.numeric, *columns.multi):
            values.setdefault(name, [])
        return np.concatenate(kept_keys)[counts], values

    def _reject(self, index: int, rows: Iterable[BadRow]) -> None:
        piece = self._pieces[index]
        before = FIRST_LINES[piece.format] + self._lines_before[index]
        for row in rows:
            self._rejects.add(piece.name, before + row.line, row.reason, row.text)


def read_events(reader: TableReader, sources: list[Source], num_parts: int) -> Logs:
    """Reads all tables of events and lays their rows out by user.

    Raises:
        UserError: Too many rows of a file are malformed, or its times have another
            unit.
    """
    keys: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    total = EventReport(0, 0, [])
    first = 0
    for source in sources:
        split = functools.partial(
            split_events,
            reading=source.reading,
            work=reader.work,
            num_parts=num_parts,
        )
        units: Counter[str] = Counter()
        for report in reader.read(source, split, itertools.count(first)):
            units.update(report.units)
            total.add(report)
            for kind in keys:
                keys[kind] = _collected(keys[kind], report.keys[kind])
        first += len(source.pieces)
        require_unit(source, units)
    return summarize(total, keys)


def require_unit(source: Source, units: Counter[str]) -> None:
    """Fails if most times of a table are in another unit than the job reads.

    Args:
        source: The table.
        units: Its times, see `times.count_units`.

    Raises:
        UserError: Names the file, the column and the unit that fits.
    """
    reading = source.reading
    if reading.time_format != "iso":
        times.require_unit(
            units, reading.time_format, source.pieces[0].name, reading.columns.time
        )


def summarize(total: EventReport, keys: dict[str, list[np.ndarray]]) -> Logs:
    """What the tables of events hold.

    Args:
        total: The sum of the reports of all pieces.
        keys: Keys of "item", "query" and "source".
    """
    usual = times.usual_days(total.days)
    end = (usual[1] + 1) * times.DAY_SECONDS * 1000 - 1
    return Logs(
        keys={
            # A search can have no query or no source.
            kind: _union(found if kind == "item" else [*found, np.array([NO_KEY])])
            for kind, found in keys.items()
        },
        days=usual,
        last_time=min(total.last_time, end),
        num_rec=total.num_rec,
        num_search=total.num_search,
        notes={
            f"rows of type {name!r}, which is not read": number
            for name, number in total.other_types.items()
        },
    )


def _collected(found: list[np.ndarray], keys: np.ndarray) -> list[np.ndarray]:
    """Adds keys; merges them when the new ones are as many as the old ones."""
    found = [*found, keys]
    if len(found) > 2 and sum(map(len, found[1:])) > len(found[0]) + (1 << 20):
        return [_union(found)]
    return found


def _union(found: list[np.ndarray]) -> np.ndarray:
    return np.unique(np.concatenate(found))
