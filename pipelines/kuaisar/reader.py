"""Reads one piece of a KuaiSAR table and finds its malformed rows."""

import codecs
import io
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from pipelines.common.job import UserError
from pipelines.common.lines import count_fields, cut_lines
from pipelines.common.report import BadRow
from sar_tf.paths import AnyPath

FIRST_LINE = 2  # Line of a table's first row; the header is line 1.
MAX_NUMBER = 10**18 - 1
UNKNOWN = ("", "0", "empty")  # Values that mean "no value" in a feature.
MAX_FLOAT = 2.0**63  # Floats below it fit into 64 bits.

_NEWLINE = 10
_WHOLE = re.compile(r"\s*([+-]?\d{1,18})(?:\.0*)?\s*")  # MAX_NUMBER has 18 digits.
_LIST = re.compile(r"\[\s*(?:\d{1,15}(?:\s*,\s*\d{1,15})*)?\s*\]")


class Piece(NamedTuple):
    """Some whole lines of a table: bytes start to end of its file."""

    path: AnyPath
    header: tuple[str, ...]
    start: int
    end: int


def open_table(path: AnyPath, columns: Sequence[str]) -> list[Piece]:
    """Checks a table's header and cuts its rows into pieces of whole lines.

    Raises:
        UserError: Names the missing file, all missing columns, or the file without
            rows.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file (--input_dir)")
    with path.open("rb") as file:
        header = file.readline().decode("utf-8-sig", "replace").strip()
        names = tuple(name.strip().strip('"') for name in header.split(","))
        _check_header(path, names, columns)
    pieces = [Piece(path, names, *cut) for cut in cut_lines(path, has_header=True)]
    if not pieces:
        raise UserError(f"{path} holds no rows")
    return pieces


def _check_header(path: AnyPath, names: Sequence[str], columns: Sequence[str]) -> None:
    missing = [column for column in columns if column not in names]
    repeated = [column for column in columns if names.count(column) > 1]
    problems = [
        f"{problem} column{'s' * (len(found) > 1)} {', '.join(map(repr, found))}"
        for problem, found in (("has no", missing), ("repeats the", repeated))
        if found
    ]
    if problems:
        header = ",".join(names)[:500]
        raise UserError(f"{path} {' and '.join(problems)}; its header is: {header}")


class Rows:
    """The rows of a piece that have the header's number of fields.

    Each method reads one column and returns an array with one value for each row. If a
    value is malformed, its row is no longer `good` and the value has no meaning.

    Args:
        piece: The rows to read.
        columns: The columns that will be read.

    Attributes:
        num_lines: Lines of the piece, blank and malformed ones included.
        num_rows: Rows of the piece, malformed ones included.
        line: [rows] line of each row, from 0.
        good: [rows] false if a malformed value of the row was read.
    """

    def __init__(self, piece: Piece, columns: Sequence[str]):
        with piece.path.open("rb") as file:
            file.seek(piece.start)
            text = file.read(piece.end - piece.start).replace(b"\r\n", b"\n")
        self._text = text if text.endswith(b"\n") else text + b"\n"
        data = np.frombuffer(self._text, np.uint8)
        ends = np.flatnonzero(data == _NEWLINE)
        starts = np.concatenate([[0], ends[:-1] + 1])
        self._bounds = starts, ends
        self._bad: list[BadRow] = []
        bad_quotes, num_fields = count_fields(data, ends)
        is_row = ends > starts
        self.num_rows = int(is_row.sum())
        # In the first line that pandas sees, it is no part of the value.
        marked = np.flatnonzero(data[starts] == codecs.BOM_UTF8[0])
        is_marked = [
            self._text.startswith(codecs.BOM_UTF8, at) for at in starts[marked]
        ]
        self._reject(marked[is_marked], "byte order mark")
        is_row[marked[is_marked]] = False
        bad_width = ~bad_quotes & (num_fields != len(piece.header))
        self._reject(np.flatnonzero(is_row & bad_quotes), "unclosed quote")
        self._reject(np.flatnonzero(is_row & bad_width), "wrong number of fields")
        whole = is_row & ~bad_quotes & ~bad_width
        self.num_lines = len(ends)
        self.line = np.flatnonzero(whole)
        self.good = np.ones(len(self.line), bool)
        self._header = piece.header
        self._sound = data[np.repeat(whole, ends - starts + 1)].tobytes()
        self._frame = _parse(self._sound, piece.header, columns)

    def integers(self, column: str, minimum: int = 0) -> np.ndarray:
        """Whole numbers of at most 18 digits, at least `minimum`."""
        values = self._frame[column]
        is_exact = values.dtype == np.int64
        numbers = values.to_numpy() if is_exact else self._exact(column)
        self.require(
            (numbers >= minimum) & (numbers <= MAX_NUMBER), f"bad number in {column}"
        )
        return numbers

    def times(self, column: str) -> np.ndarray:
        """Times since 1970, rounded down."""
        values = self._frame[column]
        if values.dtype == np.int64:
            numbers = values.to_numpy()
        else:
            numbers = np.floor(self._floats(column)).astype(np.int64)
        self.require(numbers >= 0, f"negative time in {column}")
        return numbers

    def features(self, column: str) -> np.ndarray:
        """Whole numbers, 0 where the feature is unknown."""
        values = self._frame[column]
        if not pd.api.types.is_numeric_dtype(values):
            values = values.astype(str).str.strip()
            self._frame[column] = values.mask(values.isin(UNKNOWN), "0")
        return self.integers(column, minimum=-MAX_NUMBER)

    def word_lists(self, column: str, cut: int) -> tuple[np.ndarray, list[str]]:
        """Lists of words.

        Returns:
            [rows] code of each row's list, and the list of each code as text: its
            first `cut` words with spaces between them. Word 0 is no word.
        """
        codes, lists = self._factorize(column)
        good = np.array([_LIST.fullmatch(text) is not None for text in lists], bool)
        self.require(good[codes], f"bad list in {column}")
        texts = [
            _cut_words(text, cut) if is_good else ""
            for text, is_good in zip(lists, good, strict=True)
        ]
        return codes, texts

    def names(self, column: str) -> tuple[np.ndarray, list[str]]:
        """[rows] code of each row's name, and the name of each code, "" unknown."""
        codes, names = self._factorize(column)
        names = [name.strip() for name in names]
        good = np.array([name.isprintable() for name in names], bool)
        self.require(good[codes], f"bad name in {column}")
        return codes, ["" if name in UNKNOWN else name for name in names]

    def require(self, condition: np.ndarray, reason: str) -> None:
        """Rejects the good rows for which the condition is false."""
        failed = self.good & ~condition
        self._reject(self.line[failed], reason)
        self.good &= condition

    def bad_rows(self) -> list[BadRow]:
        """The malformed rows found so far, by line."""
        return sorted(self._bad)

    def _exact(self, column: str) -> np.ndarray:
        """Whole numbers read from their texts, because a float rounds large ones."""
        if pd.api.types.is_numeric_dtype(self._frame[column]):
            texts = _parse(self._sound, self._header, [column], dtype=str)[column]
        else:
            texts = self._frame[column].astype(str)
        codes, distinct = pd.factorize(texts)
        found = [_WHOLE.fullmatch(text) for text in distinct]
        numbers = np.array([int(match[1]) if match else 0 for match in found], np.int64)
        is_whole = np.array([match is not None for match in found], bool)
        self.require(is_whole[codes], f"bad number in {column}")
        return numbers[codes]

    def _floats(self, column):
        values = self._frame[column]
        if not pd.api.types.is_float_dtype(values):
            values = pd.to_numeric(values.astype(str), errors="coerce")
        floats = values.to_numpy(np.float64)
        sound = np.abs(floats) < MAX_FLOAT  # False for NaN, too.
        self.require(sound, f"bad number in {column}")
        return np.where(sound, floats, 0)

    def _factorize(self, column):
        codes, texts = pd.factorize(self._frame[column].astype(str))
        return codes, list(texts)

    def _reject(self, lines, reason):
        starts, ends = self._bounds
        for line in lines.tolist():
            text = self._text[starts[line] : ends[line]].decode("utf-8", "replace")
            self._bad.append(BadRow(line, reason, text))


def _parse(
    text: bytes,
    header: Sequence[str],
    columns: Sequence[str],
    dtype: type | None = None,
) -> pd.DataFrame:
    """The columns of whole lines; `dtype` None lets pandas choose types."""
    if not text:
        return pd.DataFrame(columns=list(columns))
    # By position, because columns that nobody reads may have equal names.
    places = {header.index(column): column for column in columns}
    return pd.read_csv(
        io.BytesIO(text),
        header=None,
        names=[places[place] for place in sorted(places)],
        usecols=sorted(places),
        dtype=dtype,
        index_col=False,
        na_filter=False,
        skip_blank_lines=False,
        lineterminator="\n",
        low_memory=False,
        encoding_errors="replace",
    )


def _cut_words(text: str, cut: int) -> str:
    """ "[20, 0, 3]" -> "20 3", of at most `cut` words without leading zeros."""
    words = [word.strip().lstrip("0") for word in text.strip()[1:-1].split(",")]
    return " ".join([word for word in words if word][:cut])
