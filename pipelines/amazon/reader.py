"""Reads Amazon reviews and metadata, in the layouts of 2014, 2018 and 2023."""

import codecs
import gzip
import itertools
import re
import zlib
from collections.abc import Container, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from pipelines.amazon.category_queries import category_queries
from pipelines.amazon.row import (
    Hierarchy,
    Malformed,
    hierarchies_of,
    parse_row,
    raw_id,
    readable,
    time_of,
)
from pipelines.common import times
from pipelines.common.job import UserError
from pipelines.common.rejects import MAX_TEXT
from pipelines.common.report import BadRow, Report
from sar_tf.paths import AnyPath

GZIP_MAGIC = b"\x1f\x8b"
FIRST_LINE = 1
PIECE_BYTES = 4 << 20
HEAD = 1000  # Number of first rows that show the layout of a file.

# The start of a row of the 2014 metadata: gives the item without parsing the row.
_LEADING_ITEM = re.compile(rb"""\{['"]asin['"]: ?['"]([^'"\\]+)['"][,}]""")


class ReviewKeys(NamedTuple):
    """Keys of a review, in one layout."""

    user: str
    item: str
    time: str


class MetadataKeys(NamedTuple):
    """Keys of an item's metadata, in one layout."""

    item: str
    categories: str


REVIEW_LAYOUTS = (
    ReviewKeys("reviewerID", "asin", "unixReviewTime"),  # 2014 and 2018
    ReviewKeys("user_id", "parent_asin", "timestamp"),  # 2023
)
TIME_UNITS = {"unixReviewTime": "seconds", "timestamp": "milliseconds"}
METADATA_LAYOUTS = (
    MetadataKeys("asin", "categories"),  # 2014
    MetadataKeys("asin", "category"),  # 2018
    MetadataKeys("parent_asin", "categories"),  # 2023
)


class Piece(NamedTuple):
    """Some whole lines of a file."""

    text: bytes
    num_lines: int
    num_bytes: int  # Bytes of the file, perhaps compressed, that it came from.


class Reviews(NamedTuple):
    """The well-formed reviews of a piece, in the order of the file."""

    user: list[str]
    item: list[str]
    time: np.ndarray  # In the unit of the file.
    line: np.ndarray  # From 0, within the piece.


class Description(NamedTuple):
    """A well-formed row of the metadata."""

    line: int  # From 0, within the piece.
    item: str
    hierarchies: tuple[Hierarchy, ...]
    queries: list[str]  # Made from the hierarchies.
    text: str  # Of the row, for the list of malformed rows.


class RawFile(NamedTuple):
    """A file of a known layout."""

    path: AnyPath
    keys: Any  # ReviewKeys or MetadataKeys
    num_bytes: int  # Approximate size of its text, which is larger than a gzip file.


def read_pieces(path: AnyPath) -> Iterator[Piece]:
    """Cuts a file, plain or gzip, into pieces of whole lines, read one after another.

    Raises:
        UserError: The file is cut short or damaged.
    """
    num_lines = 0
    with path.open("rb") as raw:
        is_compressed = raw.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC)
        file = gzip.GzipFile(fileobj=raw) if is_compressed else raw
        position = 0
        try:
            while text := file.read(PIECE_BYTES):
                text += file.readline()
                if not num_lines:
                    text = text.removeprefix(codecs.BOM_UTF8)
                lines = text.count(b"\n") + (not text.endswith(b"\n"))
                yield Piece(text, lines, raw.tell() - position)
                num_lines, position = num_lines + lines, raw.tell()
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UserError(
                f"{path} is cut short or damaged after line {num_lines} ({error}); "
                "download it again"
            ) from error


def parse_reviews(piece: Piece, keys: ReviewKeys) -> tuple[Reviews, Report]:
    """Reads the user, item and time of each review.

    Args:
        piece: Lines with a review each.
        keys: The layout of the file.
    """
    reviews = Reviews([], [], [], [])
    report = Report(piece.num_lines, 0, [])
    for line, text in _rows(piece):
        report.num_rows += 1
        try:
            row = parse_row(text)
            values = (
                raw_id(row, keys.user),
                raw_id(row, keys.item),
                time_of(row, keys.time),
            )
        except Malformed as reason:
            report.bad.append(BadRow(line, str(reason), readable(text)))
            continue
        for column, value in zip(reviews, (*values, line), strict=True):
            column.append(value)
    time, line = np.array(reviews.time, np.int64), np.array(reviews.line, np.int64)
    unit = TIME_UNITS[keys.time]
    report.units = times.count_units(time)
    good = times.plausible(time, unit)
    for row in np.flatnonzero(~good).tolist():
        text = f"{reviews.user[row]} {reviews.item[row]} {time[row]}"
        report.bad.append(BadRow(int(line[row]), f"implausible {keys.time}", text))
    report.bad.sort()
    report.days = times.count_days(time[good], unit)
    report.last_time = int(time[good].max(initial=0))
    kept = Reviews(
        [user for user, is_good in zip(reviews.user, good, strict=True) if is_good],
        [item for item, is_good in zip(reviews.item, good, strict=True) if is_good],
        time[good],
        line[good],
    )
    return kept, report


def parse_metadata(
    piece: Piece, keys: MetadataKeys, items: Container[str]
) -> tuple[list[Description], Report]:
    """Reads the category hierarchies of the given items.

    Rows of other items are skipped, and if possible not even parsed; those are not
    counted as rows.

    Args:
        piece: Lines with an item each.
        keys: The layout of the file.
        items: Raw ids of the items to read.
    """
    found = []
    report = Report(piece.num_lines, 0, [])
    for line, text in _rows(piece):
        leading = _LEADING_ITEM.match(text)
        if leading and leading[1].decode("utf-8", "replace") not in items:
            continue
        report.num_rows += 1
        try:
            row = parse_row(text)
            item = raw_id(row, keys.item)
            hierarchies = hierarchies_of(row.get(keys.categories))
        except Malformed as reason:
            report.bad.append(BadRow(line, str(reason), readable(text)))
            continue
        if item in items:
            queries = category_queries(hierarchies)
            text = readable(text)[:MAX_TEXT]
            found.append(Description(line, item, tuple(hierarchies), queries, text))
    return found, report


def _rows(piece: Piece) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers from 0."""
    for line, text in enumerate(piece.text.split(b"\n")):
        if text.strip():
            yield line, text


def open_file(path: AnyPath, layouts: Sequence[tuple], kind: str) -> RawFile:
    """Finds the layout of a file: the first one whose keys one of the first rows has.

    Args:
        path: The file.
        layouts: The layouts that it may have.
        kind: What the file holds, for errors.

    Raises:
        UserError: The file is damaged or has no such layout.
    """
    seen: set[str] = set()
    for piece in itertools.islice(read_pieces(path), 1):
        num_bytes = path.stat().st_size * len(piece.text) // piece.num_bytes
        for _, text in itertools.islice(_rows(piece), HEAD):
            try:
                row = parse_row(text)
            except Malformed:
                continue
            for keys in layouts:
                if row.keys() >= set(keys):
                    return RawFile(path, keys, num_bytes)
            seen |= row.keys()
    if not seen:
        raise UserError(
            f"{path} is no {kind} file: none of its first lines is a JSON object"
        )
    closest = max(layouts, key=lambda keys: len(seen & set(keys)))
    missing = ", ".join(repr(key) for key in closest if key not in seen)
    raise UserError(
        f"{path}: its rows have no key {missing}; a {kind} file needs "
        + " or ".join(", ".join(keys) for keys in layouts)
    )
