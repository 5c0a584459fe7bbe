"""Reads tables of items and users: the features of those that are kept."""

import dataclasses
from typing import NamedTuple

import numpy as np

from pipelines.common.described import Described, object_column
from pipelines.common.disk import map_array
from pipelines.common.keys import keys_of
from pipelines.common.owner_features import (
    Allocate,
    Parts,
    encode_categorical,
    encode_multi,
    encode_numeric,
)
from pipelines.common.ragged import RaggedTable, find_sorted
from pipelines.common.report import Report
from pipelines.common.vocabulary import Vocabulary
from pipelines.logs.columns import read_columns
from pipelines.logs.events import MAX_WORDS
from pipelines.logs.files import Piece
from pipelines.logs.reader import read_piece
from pipelines.logs.rows import Rows
from pipelines.logs.settings import FeatureTable
from sar_tf.data.tokenizer import get_tokenizer
from sar_tf.paths import AnyPath

MAX_VALUES = 20  # Values of a multi-valued feature that count.


class FeatureReading(NamedTuple):
    """How the rows of a table of features are read."""

    owner: str  # "item" or "user"
    columns: FeatureTable
    tokenizer: str


@dataclasses.dataclass
class FeatureReport(Report):
    """Summary of one piece, and the features of the kept items or users in it.

    Attributes:
        keys, line: [rows] key and line of each well-formed row.
        kept: [n] places of the rows of kept owners among these rows.
        values: [n] values by column: texts (""), numbers (NaN) or tuples of texts; the
            words of a caption are one text.
    """

    keys: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    line: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    kept: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    values: dict[str, list] = dataclasses.field(default_factory=dict)


def read_features(
    piece: Piece, reading: FeatureReading, work: AnyPath
) -> FeatureReport:
    """Reads a piece.

    Args:
        piece: The rows to read.
        reading: How its rows are read.
        work: Folder of the job's own files, with `kept_item.npy` or `kept_user.npy`,
            the sorted keys of the items or users that are kept.
    """
    kept = map_array(work / f"kept_{reading.owner}.npy")
    report = FeatureReport(0, 0, [])
    for rows in read_piece(piece, read_columns(reading.columns)):
        keys, is_kept, values = parse_features(rows, reading, kept)
        report.kept = np.concatenate(
            [report.kept, len(report.keys) + np.flatnonzero(is_kept)]
        )
        report.keys = np.concatenate([report.keys, keys])
        report.line = np.concatenate([report.line, rows.line[rows.good]])
        for name, column in values.items():
            report.values.setdefault(name, []).extend(column)
        report.num_lines += rows.num_lines
        report.num_rows += rows.num_rows
        report.bad += rows.bad_rows()
    return report


def describe_owners(piece: Piece, reading: FeatureReading) -> tuple[Described, Report]:
    """Reads a piece with the values of all owners, kept or not.

    Args:
        piece: The rows to read.
        reading: How its rows are read; without captions.
    """
    report = Report(0, 0, [])
    keys, lines = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    columns = reading.columns
    names = (*columns.categorical, *columns.numeric, *columns.multi)
    values: dict[str, list] = {name: [] for name in names}
    for rows in read_piece(piece, read_columns(columns)):
        own, _, found = parse_features(rows, reading, None)
        keys.append(own)
        lines.append(rows.line[rows.good])
        for name in names:
            values[name] += found[name]
        report.num_lines += rows.num_lines
        report.num_rows += rows.num_rows
        report.bad += rows.bad_rows()
    arrays = {name: object_column(column) for name, column in values.items()}
    return Described(np.concatenate(keys), np.concatenate(lines), arrays), report


def parse_features(
    rows: Rows, reading: FeatureReading, kept: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, dict[str, list]]:
    """Reads the columns of some rows.

    Args:
        rows: The rows; malformed ones are no longer good.
        reading: How they are read.
        kept: Sorted keys of the owners whose features are wanted; None for all.

    Returns:
        [good rows] key of each owner, [good rows] whether it is kept, and the values of
        those that are, by column.
    """
    table = reading.columns
    code, ids = rows.ids(table.id, is_required=True)
    key = keys_of(ids)[code]
    is_kept = np.full(len(key), kept is None)
    if kept is not None and len(kept):
        is_kept = find_sorted(kept, key)[1]
    columns = {}
    for name in table.categorical:
        codes, texts = rows.ids(name, is_required=False)
        columns[name] = np.array(texts, object)[codes]
    for name in table.numeric:
        columns[name] = rows.numbers(name)
    for name in table.multi:
        columns[name] = _lists(rows, name, table.separator)
    if table.caption:
        codes, texts = rows.texts(table.caption)
        words = get_tokenizer(reading.tokenizer).words
        captions = {
            code: " ".join(words(texts[code])[:MAX_WORDS])
            for code in np.unique(codes[is_kept]).tolist()
        }
        columns["caption"] = np.array(
            [captions.get(code, "") for code in codes.tolist()], object
        )
    wanted = rows.good & is_kept
    return (
        key[rows.good],
        is_kept[rows.good],
        {name: column[wanted].tolist() for name, column in columns.items()},
    )


class Features(NamedTuple):
    """Features of items or users, in the form that `writer.Tables` takes.

    Attributes:
        vocabularies: The values of each feature, by its name.
        features: Dense values, one row for each owner and one for none.
        captions: Words of captions with spaces between, "" for none; None without.
    """

    vocabularies: dict[str, Vocabulary]
    features: dict[str, np.ndarray | RaggedTable]
    captions: list[str] | None


def encode_features(
    table: FeatureTable, parts: Parts, size: int, allocate: Allocate = np.zeros
) -> Features:
    """Encodes the features of the kept owners.

    Args:
        table: The columns.
        parts: Dense ids and values of the described owners.
        size: Number of owners.
        allocate: Makes the arrays.
    """
    vocabularies: dict[str, Vocabulary] = {}
    features: dict[str, np.ndarray | RaggedTable] = {}
    for name in table.categorical:
        vocabularies[name], features[name] = encode_categorical(
            parts, name, size, "", allocate
        )
    for name in table.numeric:
        bounds, features[name] = encode_numeric(
            parts, name, size, table.buckets, allocate
        )
        vocabularies[name] = Vocabulary(_bucket_names(bounds))
    for name in table.multi:
        vocabularies[name], features[name] = encode_multi(parts, name, size, allocate)
    captions = None
    if table.caption:
        captions = [""] * (size + 1)
        for owners, values in parts:
            for owner, text in zip(owners.tolist(), values["caption"], strict=True):
                captions[owner] = text
    return Features(vocabularies, features, captions)


def _lists(rows: Rows, name: str, separator: str) -> np.ndarray:
    """[rows] tuple of each row's first distinct values."""
    row, code, texts = rows.id_lists(name, separator)
    lists = [()] * len(rows)
    bounds = np.searchsorted(row, np.arange(len(rows) + 1)).tolist()
    names = np.array(texts, object)[code].tolist()
    for place in np.unique(row).tolist():
        own = names[bounds[place] : bounds[place + 1]]
        lists[place] = tuple(dict.fromkeys(own))[:MAX_VALUES]
    column = np.empty(len(rows), object)
    column[:] = lists
    return column


def _bucket_names(bounds: np.ndarray) -> list[str]:
    edges = ["", *(f"{bound:g}" for bound in bounds.tolist()), ""]
    digits = len(str(len(edges)))
    names = []
    for number in range(1, len(edges)):
        low, high = edges[number - 1], edges[number]
        span = " ".join(
            part for part in (low and f"from {low}", high and f"below {high}") if part
        )
        names.append(f"{number:0{digits}d} {span or 'any'}")
    return names
