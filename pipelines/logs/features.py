"""Reads tables of items and users: the features of those that are kept."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.common.keys import keys_of
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


def read_features(piece: Piece, reading: FeatureReading, work: Path) -> FeatureReport:
    """Reads a piece.

    Args:
        piece: The rows to read.
        reading: How its rows are read.
        work: Folder of the job's own files, with `kept_item.npy` or `kept_user.npy`,
            the sorted keys of the items or users that are kept.
    """
    kept = np.load(work / f"kept_{reading.owner}.npy", mmap_mode="r")
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


def parse_features(
    rows: Rows, reading: FeatureReading, kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray, dict[str, list]]:
    """Reads the columns of some rows.

    Args:
        rows: The rows; malformed ones are no longer good.
        reading: How they are read.
        kept: Sorted keys of the owners whose features are wanted.

    Returns:
        [good rows] key of each owner, [good rows] whether it is kept, and the values of
        those that are, by column.
    """
    table = reading.columns
    code, ids = rows.ids(table.id, is_required=True)
    key = keys_of(ids)[code]
    is_kept = find_sorted(kept, key)[1] if len(kept) else np.zeros(len(key), bool)
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
    table: FeatureTable, values: dict[str, list], dense_ids: np.ndarray, size: int
) -> Features:
    """Encodes the features of the kept owners.

    A numeric feature becomes the number of its bucket; quantiles of the kept owners'
    values are the bounds. A bucket holds its lower bound.

    Args:
        table: The columns.
        values: See `FeatureReport`; one value for each described owner.
        dense_ids: Dense id of each described owner.
        size: Number of owners.
    """
    vocabularies: dict[str, Vocabulary] = {}
    features: dict[str, np.ndarray | RaggedTable] = {}
    for name in table.categorical:
        column = np.full(size + 1, "", object)
        column[dense_ids] = values[name]
        vocabularies[name] = Vocabulary.build(column[column != ""])
        features[name] = vocabularies[name].encode(column) * (column != "")
    for name in table.numeric:
        column = np.full(size + 1, np.nan)
        column[dense_ids] = values[name]
        bounds = _bounds(column[~np.isnan(column)], table.buckets)
        bucket = np.searchsorted(bounds, column, side="right") + 1
        features[name] = np.where(np.isnan(column), 0, bucket)
        vocabularies[name] = Vocabulary(_bucket_names(bounds))
    for name in table.multi:
        rows: list[tuple[str, ...]] = [()] * (size + 1)
        for owner, own in zip(dense_ids.tolist(), values[name], strict=True):
            rows[owner] = own
        texts = RaggedTable.from_rows(rows)
        vocabularies[name] = Vocabulary.build(texts.values)
        features[name] = texts.encode(vocabularies[name])
    captions = None
    if table.caption:
        texts = np.full(size + 1, "", object)
        texts[dense_ids] = values["caption"]
        captions = texts.tolist()
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


def _bounds(known: np.ndarray, num_buckets: int) -> np.ndarray:
    """Inner bounds of buckets with about as many values each."""
    if not len(known):
        return np.zeros(0)
    shares = np.linspace(0, 1, num_buckets + 1)[1:-1]
    bounds = np.unique(np.quantile(known, shares, method="higher"))
    return bounds[bounds > known.min()]


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
