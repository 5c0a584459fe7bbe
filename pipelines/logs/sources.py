"""Finds the files and columns of all tables."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

from pipelines.common.job import UserError
from pipelines.logs import clock
from pipelines.logs.columns import (
    USUAL_TYPES,
    event_columns,
    feature_columns,
    read_columns,
)
from pipelines.logs.events import Reading
from pipelines.logs.features import FeatureReading
from pipelines.logs.files import (
    Piece,
    cut_file,
    find_files,
    header_of,
    is_compressed,
    unpack,
)
from pipelines.logs.reader import read_piece
from pipelines.logs.rows import Rows
from pipelines.logs.settings import EventTable, FeatureTable, Settings
from sar_tf.paths import AnyPath

HEAD_ROWS = 1000  # First rows, which show the format of times.


class Source(NamedTuple):
    """A table: how its rows are read, and its pieces."""

    reading: Reading | FeatureReading
    pieces: list[Piece]


class Sources(NamedTuple):
    """All tables."""

    events: list[Source]
    features: dict[str, Source]  # By owner.


def open_tables(settings: Settings, work: AnyPath) -> Sources:
    """Finds files and columns, and cuts the files into pieces.

    Args:
        settings: The tables.
        work: Folder for gzip'd files, which are unpacked.

    Raises:
        UserError: Names the missing file or column.
    """
    events = [
        _open_events(name, table, settings, work)
        for name, table in settings.event_tables.items()
    ]
    features = {}
    for owner, table in settings.feature_tables.items():
        columns, pieces = _open(f"{owner}s", table, work, feature_columns)
        reading = FeatureReading(owner, columns, settings.tokenizer)
        features[owner] = Source(reading, pieces)
    return Sources(events, features)


def first_rows(pieces: list[Piece], table: EventTable | FeatureTable) -> Rows:
    """The rows at the beginning of a table.

    Raises:
        UserError: It has none.
    """
    for piece in pieces:
        head = piece
        if piece.format != "parquet":
            with piece.path.open("rb") as file:
                file.seek(piece.start)
                lines = itertools.islice(file, HEAD_ROWS)
                end = piece.start + sum(map(len, lines))
            head = piece._replace(end=min(end, piece.end))
        rows = next(read_piece(head, read_columns(table)), None)
        if rows is not None and len(rows):
            return rows
    raise UserError(f"{pieces[0].name if pieces else table.files[0]} holds no rows")


def _open_events(name: str, table: EventTable, settings: Settings, work: AnyPath):
    columns, pieces = _open(name, table, work, event_columns)
    head = first_rows(pieces, columns)
    if columns.type and name == "events":
        columns = _with_types(columns, head, pieces[0])
    time_format = settings.time_format
    if time_format == "auto":
        time_format = clock.detect_format(head.array(columns.time)[:HEAD_ROWS])
    reading = Reading(
        name, columns, time_format, settings.time_zone, settings.tokenizer
    )
    return Source(reading, pieces)


def _with_types(columns: EventTable, head: Rows, piece: Piece) -> EventTable:
    """The table with usual values of its type, where the settings name none."""
    if columns.rec_values or columns.search_values:
        return columns
    _, types = head.texts(columns.type)
    types = sorted({text.strip() for text in types} - {""})
    found = {
        role: tuple(name for name in types if name.lower() in usual)
        for role, usual in USUAL_TYPES.items()
    }
    if not any(found.values()):
        raise UserError(
            f"{piece.name}: none of the values of {columns.type!r} has a usual name "
            f"({', '.join(types[:10])}); name them by --events.rec_values and "
            "--events.search_values"
        )
    return dataclasses.replace(columns, **found)


def _open(name: str, table: Any, work: AnyPath, find_columns: Callable):
    """The table's columns and the pieces of all of its files."""
    pieces: list[Piece] = []
    columns = None
    for index, path in enumerate(find_files(table.files, f"{name}.files")):
        if path.stat().st_size == 0:
            raise UserError(f"{path} is empty")
        own = path
        if is_compressed(path):
            own = unpack(path, work / f"{name}-{index:05d}.unpacked")
        header = header_of(own, path)
        found = find_columns(name, table, header, path)
        if columns is not None and found != columns:
            raise UserError(
                f"{path} has other columns than the files before it; name the columns "
                f"by --{name}.…"
            )
        columns = found
        pieces += cut_file(own, path, header)
    return columns, pieces
