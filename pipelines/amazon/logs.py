"""Reads reviews and metadata piece by piece in several processes."""

import functools
import itertools
import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from pipelines.amazon.group import BadReview, Grouped, group_reviews, split_by_user
from pipelines.amazon.reader import (
    FIRST_LINE,
    TIME_UNITS,
    Description,
    MetadataKeys,
    Piece,
    RawFile,
    ReviewKeys,
    parse_metadata,
    parse_reviews,
    read_pieces,
)
from pipelines.common import times
from pipelines.common.disk import writing
from pipelines.common.processes import ProcessPool
from pipelines.common.progress import progress
from pipelines.common.rejects import Rejects
from pipelines.common.report import BadRow, Report, add_counters
from pipelines.common.shuffle import load_chunks, save_chunks
from pipelines.common.vocabulary import SavedIds, Vocabulary
from sar_tf.paths import AnyPath

DIFFERENT = "item described twice, differently"


class Logs(NamedTuple):
    """The well-formed reviews: ids and sizes; the rows are on disk, see `load_part`."""

    users: SavedIds  # A `Vocabulary`, but in a Beam job.
    items: Vocabulary
    num_reviews: int


class PieceReader:
    """Calls a function for each piece of a file and lists the malformed rows.

    Args:
        file: The file.
        pool: The processes that parse.
        rejects: Collects the malformed rows.

    Attributes:
        reports: The reports of the pieces, without their malformed rows.
    """

    def __init__(self, file: RawFile, pool: ProcessPool, rejects: Rejects):
        self._file = file
        self._pool = pool
        self._rejects = rejects
        self._lines_before = [0]
        self.reports: list[Report] = []

    def read(self, parse: Callable[[Piece, int], tuple[Any, Report]]) -> Iterator[Any]:
        """Yields the first result of `parse` of each piece; the second is its report.

        Args:
            parse: Called in other processes with a piece and its number.

        Raises:
            UserError: The file is damaged.
        """
        path = self._file.path
        sizes: list[int] = []

        def pieces() -> Iterator[Piece]:
            for piece in read_pieces(path):
                sizes.append(piece.num_bytes)
                yield piece

        num_rows = 0
        with progress(path.name, path.stat().st_size, "B") as bar:
            results = self._pool.map(parse, pieces(), itertools.count())
            for index, (result, report) in enumerate(results):
                self.reports.append(report)
                self._lines_before.append(self._lines_before[-1] + report.num_lines)
                self.reject(index, report.bad)
                report.bad = []
                yield result
                num_rows += report.num_rows
                bar.set_postfix_str(f"{num_rows:,} rows", refresh=False)
                bar.update(sizes[index])

    def reject(self, piece: int, rows: Iterable[BadRow]) -> None:
        """Lists malformed rows of a piece that was read."""
        for row in rows:
            line = FIRST_LINE + self._lines_before[piece] + row.line
            self._rejects.add(self._file.path.name, line, row.reason, row.text)

    def check(self, max_bad_fraction: float) -> None:
        """Fails the job if too many rows are malformed."""
        num_rows = sum(report.num_rows for report in self.reports)
        self._rejects.check(self._file.path.name, num_rows, max_bad_fraction)


def read_reviews(
    file: RawFile,
    work: AnyPath,
    num_parts: int,
    pool: ProcessPool,
    rejects: Rejects,
    max_bad_fraction: float,
) -> Logs:
    """Reads the reviews and groups them by user, on disk.

    Args:
        file: The reviews.
        work: Folder of the job's own files.
        num_parts: Number of parts of the users.
        pool: The processes that read.
        rejects: Collects the malformed rows.
        max_bad_fraction: Largest share of malformed rows.

    Raises:
        UserError: The file is damaged, too many of its rows are malformed, or their
            times have another unit.
    """
    keys = file.keys
    reader = PieceReader(file, pool, rejects)
    split = functools.partial(_split, keys=keys, num_parts=num_parts, work=work)
    for _ in reader.read(split):
        pass
    units = add_counters(report.units for report in reader.reports)
    times.require_unit(units, TIME_UNITS[keys.time], file.path.name, keys.time)
    days = add_counters(report.days for report in reader.reports)
    usual = times.usual_days(days) if days else (0, 0)
    group = functools.partial(_group, keys=keys, days=usual, work=work)
    users, items, num_reviews = [], set(), 0
    for grouped, bad in pool.map(group, range(num_parts)):
        for review in bad:
            reader.reject(review.piece, [review.row])
        users.append(grouped.users)
        items.update(grouped.items)
        num_reviews += grouped.num_reviews
    reader.check(max_bad_fraction)
    return Logs(Vocabulary.build(*users), Vocabulary.build(items), num_reviews)


class _Ids(NamedTuple):
    users: np.ndarray
    items: np.ndarray
    num_reviews: int


def _split(
    piece: Piece, index: int, keys: ReviewKeys, num_parts: int, work: AnyPath
) -> tuple[None, Report]:
    reviews, report = parse_reviews(piece, keys)
    chunks = split_by_user(reviews, num_parts)
    save_chunks(work / f"reviews-{index:06d}.chunks", chunks)
    return None, report


def _group(
    part: int, keys: ReviewKeys, days: tuple[int, int], work: AnyPath
) -> tuple[_Ids, list[BadReview]]:
    grouped, bad = group_reviews(load_chunks(work, "reviews", part), keys, days)
    path = _grouped_path(work, part)
    with writing(path):
        path.write_bytes(pickle.dumps(grouped, pickle.HIGHEST_PROTOCOL))
    return _Ids(grouped.users, grouped.items, len(grouped.time)), bad


def load_part(work: AnyPath, part: int) -> Grouped:
    """The reviews of one part's users."""
    # The job itself wrote the file, into its own folder.
    return pickle.loads(_grouped_path(work, part).read_bytes())


def _grouped_path(work: AnyPath, part: int) -> AnyPath:
    return work / f"grouped-{part:05d}.pickle"


def read_queries(
    file: RawFile,
    items: Vocabulary,
    work: AnyPath,
    pool: ProcessPool,
    rejects: Rejects,
    max_bad_fraction: float,
) -> list[list[str]]:
    """Reads the categories of the given items and makes queries of them.

    An item with several equal descriptions, as in the 2018 release, is not malformed.

    Args:
        file: The metadata.
        items: The items to read.
        work, pool, rejects, max_bad_fraction: As above.

    Returns:
        The queries of item 0 (none), 1, …

    Raises:
        UserError: The file is damaged or too many of its rows are malformed.
    """
    save_items(items, work)
    reader = PieceReader(file, pool, rejects)
    parse = functools.partial(_parse_metadata, keys=file.keys, work=work)
    queries: list[list[str]] = [[] for _ in range(len(items) + 1)]
    seen: dict[int, int] = {}
    for index, descriptions in enumerate(reader.read(parse)):
        dense = items.encode([description.item for description in descriptions])
        for item, description in zip(dense.tolist(), descriptions, strict=True):
            content = hash(description.hierarchies)
            if seen.setdefault(item, content) != content:
                bad = BadRow(description.line, DIFFERENT, description.text)
                reader.reject(index, [bad])
            else:
                queries[item] = description.queries
    reader.check(max_bad_fraction)
    return queries


ITEMS = "items.txt"


def save_items(items: Vocabulary, work: AnyPath) -> None:
    """Saves the reviewed items for the job's other processes."""
    items.save(work / ITEMS)
    reviewed_items.cache_clear()  # It can hold those of an earlier job.


def _parse_metadata(
    piece: Piece, index: int, keys: MetadataKeys, work: AnyPath
) -> tuple[list[Description], Report]:
    return parse_metadata(piece, keys, reviewed_items(work))


@functools.lru_cache(maxsize=1)
def reviewed_items(work: AnyPath) -> frozenset[str]:
    """Loads what `save_items` saved, once a process."""
    return frozenset(load_items(work))


def load_items(work: AnyPath) -> list[str]:
    """The sorted raw ids that `save_items` saved."""
    text = (work / ITEMS).read_text(encoding="utf-8")
    return text.removesuffix("\n").split("\n")
