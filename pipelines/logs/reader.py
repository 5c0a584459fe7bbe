"""Reads a piece of a file: its columns as Arrow arrays, and its malformed rows."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from pipelines.common import times
from pipelines.common.lines import count_fields
from pipelines.common.report import BadRow
from pipelines.logs import clock
from pipelines.logs.files import SEPARATORS, Piece, open_parquet, parse_json

BATCH_ROWS = 1 << 17  # Rows of Parquet that are in memory at once.
MAX_FLOAT = 2.0**53  # Whole numbers below it are exact.
FIRST_LINES = {"csv": 2, "tsv": 2, "json": 1, "parquet": 1}  # Line of the first row.


class Rows:
    """Some rows of a piece.

    Each method reads one column and returns one value for each row. If a value is
    malformed, its row is no longer `good` and the value has no meaning.

    Args:
        columns: Arrays of equal length by name, without nulls.
        line: [rows] line of each row, from 0 within the piece.
        texts: From places of rows to their raw texts.
        num_lines, num_rows: Size of what was read, malformed rows included.
        bad: Malformed rows that are not in the columns.

    Attributes:
        good: [rows] false if a malformed value of the row was read.
    """

    def __init__(
        self,
        columns: dict[str, pa.Array],
        line: np.ndarray,
        texts: Callable[[np.ndarray], list[str]],
        num_lines: int,
        num_rows: int,
        bad: Sequence[BadRow] = (),
    ):
        self.line = line
        self.good = np.ones(len(line), bool)
        self.num_lines = num_lines
        self.num_rows = num_rows
        self._columns = columns
        self._texts = texts
        self._bad = list(bad)

    def __len__(self) -> int:
        return len(self.line)

    def array(self, column: str) -> pa.Array:
        """The values of a column as they are."""
        return self._columns[column]

    def texts(self, column: str) -> tuple[np.ndarray, list[str]]:
        """[rows] code of each row's text, and the text of each code; "" if missing."""
        array = self._columns[column]
        if pa.types.is_nested(array.type):
            self.require(np.zeros(len(self), bool), f"bad {column}")
            array = pa.array([""] * len(self), pa.string())
        return _encode(_to_text(array))

    def ids(self, column: str, is_required: bool) -> tuple[np.ndarray, list[str]]:
        """[rows] code of each row's id, and the id of each code; "" if missing."""
        codes, texts = self.texts(column)
        ids = [text.strip() for text in texts]
        # Vocabularies hold one raw id a line.
        printable = np.array([text.isprintable() for text in ids], bool)
        self.require(printable[codes], f"bad {column}")
        if is_required:
            is_there = np.array([text != "" for text in ids], bool)
            self.require(is_there[codes], f"no {column}")
        return codes, ids

    def id_lists(
        self, column: str, separator: str
    ) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Lists of ids; empty ids are left out.

        Args:
            column: A column of lists, or of texts with a separator between two ids.
            separator: The separator.

        Returns:
            [n] row of each id, by row; [n] its code; and the id of each code.
        """
        array = self._columns[column]
        if not _is_list(array.type):
            array = pc.split_pattern(_to_text(array), separator)
        row = np.repeat(np.arange(len(array)), np.asarray(pc.list_value_length(array)))
        codes, texts = _encode(_to_text(pc.list_flatten(array).fill_null("")))
        ids = [text.strip() for text in texts]
        is_bad = np.array([not text.isprintable() for text in ids], bool)[codes]
        good = np.ones(len(self), bool)
        good[row[is_bad]] = False
        self.require(good, f"bad {column}")
        is_there = np.array([text != "" for text in ids], bool)[codes]
        return row[is_there], codes[is_there], ids

    def numbers(self, column: str) -> np.ndarray:
        """Numbers, NaN if missing; true is 1 and false 0."""
        codes, texts = self.texts(column)
        words = {"": np.nan, "true": 1.0, "false": 0.0}
        values = np.zeros(len(texts))
        is_number = np.ones(len(texts), bool)
        for code, text in enumerate(texts):
            word = text.strip().lower()
            try:
                values[code] = words[word] if word in words else float(word)
            except ValueError:
                is_number[code] = False
        is_number &= ~np.isinf(values)
        self.require(is_number[codes], f"bad number in {column}")
        return values[codes]

    def times(
        self, column: str, time_format: str, zone: str
    ) -> tuple[np.ndarray, Counter[str]]:
        """Times in ms since 1970, and the units that they look like."""
        array = self._columns[column]
        ms, is_time, units = clock.milliseconds(array, time_format, zone)
        if not is_time.all() and not pa.types.is_nested(array.type):
            missing = np.asarray(pc.equal(_to_text(array), ""))
            self.require(~missing, f"no {column}")
        self.require(is_time, f"bad time in {column}")
        self.require(times.plausible(ms, clock.UNIT), f"implausible time in {column}")
        return ms, units

    def require(self, condition: np.ndarray, reason: str) -> None:
        """Rejects the good rows for which the condition is false."""
        failed = np.flatnonzero(self.good & ~condition)
        if len(failed):
            lines = self.line[failed].tolist()
            for line, text in zip(lines, self._texts(failed), strict=True):
                self._bad.append(BadRow(line, reason, text))
            self.good &= condition

    def bad_rows(self) -> list[BadRow]:
        """The malformed rows found so far, by line."""
        return sorted(self._bad)


def read_piece(piece: Piece, columns: Sequence[str]) -> Iterator[Rows]:
    """The rows of a piece, a bounded number at a time."""
    if piece.format == "parquet":
        yield from _read_parquet(piece, columns)
        return
    with open(piece.path, "rb") as file:
        file.seek(piece.start)
        text = file.read(piece.end - piece.start)
    if piece.format == "json":
        yield _read_json(text, columns)
    else:
        yield _read_csv(text, piece, columns)


def row_texts(piece: Piece, lines: Sequence[int]) -> list[str]:
    """The raw texts of some rows of a piece, by their lines within it."""
    wanted = np.asarray(lines, np.int64)
    found: dict[int, str] = {}
    columns = piece.header if piece.format == "parquet" else ()
    if piece.format == "parquet":
        for rows in _read_parquet(piece, columns):
            own = np.flatnonzero(np.isin(rows.line, wanted))
            texts = rows._texts(own)
            found |= dict(zip(rows.line[own].tolist(), texts, strict=True))
    else:
        with open(piece.path, "rb") as file:
            file.seek(piece.start)
            raw = file.read(piece.end - piece.start).split(b"\n")
        found = {line: raw[line].decode("utf-8", "replace") for line in wanted.tolist()}
    return [found[line] for line in wanted.tolist()]


def _read_parquet(piece: Piece, columns: Sequence[str]) -> Iterator[Rows]:
    start = 0
    file = open_parquet(piece.path, piece.path)
    for batch in file.iter_batches(
        BATCH_ROWS, range(piece.start, piece.end), list(columns), use_threads=False
    ):
        arrays = {name: _sound(batch.column(name)) for name in columns}

        def texts(rows: np.ndarray, arrays=arrays) -> list[str]:
            parts = [array.take(rows).to_pylist() for array in arrays.values()]
            return [",".join(map(str, row)) for row in zip(*parts, strict=True)]

        size = batch.num_rows
        yield Rows(arrays, np.arange(start, start + size), texts, size, size)
        start += size


def _read_csv(text: bytes, piece: Piece, columns: Sequence[str]) -> Rows:
    separator = SEPARATORS[piece.format]
    text = text.replace(b"\r\n", b"\n")
    text = text if text.endswith(b"\n") else text + b"\n"
    data = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(data == ord("\n"))
    starts = np.concatenate([[0], ends[:-1] + 1])

    def texts(lines: np.ndarray) -> list[str]:
        return [
            text[starts[line] : ends[line]].decode("utf-8", "replace")
            for line in lines.tolist()
        ]

    if b'"' not in text and (ends > starts).all():
        try:
            arrays = _parse_csv(text, separator, piece.header, columns)
            line = np.arange(len(ends))
            if all(len(array) == len(line) for array in arrays.values()):
                return Rows(arrays, line, texts, len(ends), len(ends))
        except pa.ArrowInvalid:
            pass  # Some line is malformed; the way below finds out which.
    bad_quotes, num_fields = count_fields(data, ends, separator)
    is_row = ends > starts
    bad_width = ~bad_quotes & (num_fields != len(piece.header))
    whole = is_row & ~bad_quotes & ~bad_width
    bad = []
    for is_bad, reason in (
        (is_row & bad_quotes, "unclosed quote"),
        (is_row & bad_width, "wrong number of fields"),
    ):
        lines = np.flatnonzero(is_bad)
        bad += [
            BadRow(line, reason, row)
            for line, row in zip(lines.tolist(), texts(lines), strict=True)
        ]
    sound = data[np.repeat(whole, ends - starts + 1)].tobytes()
    arrays = _parse_csv(sound, separator, piece.header, columns)
    line = np.flatnonzero(whole)
    return Rows(
        arrays, line, lambda rows: texts(line[rows]), len(ends), int(is_row.sum()), bad
    )


def _parse_csv(
    text: bytes, separator: str, header: Sequence[str], columns: Sequence[str]
) -> dict[str, pa.Array]:
    if not text:
        return {name: pa.array([], pa.string()) for name in columns}
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        text = text.decode("utf-8", "replace").encode()
    table = pyarrow.csv.read_csv(
        pa.BufferReader(text),
        pyarrow.csv.ReadOptions(
            use_threads=False, block_size=len(text) + 1, column_names=list(header)
        ),
        pyarrow.csv.ParseOptions(delimiter=separator),
        pyarrow.csv.ConvertOptions(
            include_columns=list(columns),
            column_types={name: pa.string() for name in columns},
            strings_can_be_null=False,
            check_utf8=False,
        ),
    )
    return {name: _one(table.column(name)) for name in columns}


def _read_json(text: bytes, columns: Sequence[str]) -> Rows:
    lines = text.removesuffix(b"\n").split(b"\n")
    bad, kept, number, num_rows = [], [], [], 0
    for line, raw in enumerate(lines):
        if not raw.strip():
            continue
        num_rows += 1
        row = parse_json(raw)
        if row is None:
            bad.append(BadRow(line, "not an object", raw.decode("utf-8", "replace")))
        else:
            kept.append(row)
            number.append(line)
    arrays = {name: _json_column([row.get(name) for row in kept]) for name in columns}
    line = np.array(number, np.int64)

    def texts(rows: np.ndarray) -> list[str]:
        return [lines[at].decode("utf-8", "replace") for at in line[rows].tolist()]

    return Rows(arrays, line, texts, len(lines), num_rows, bad)


def _json_column(values: list[Any]) -> pa.Array:
    """Texts; or lists of texts, where a value that is no list has one."""
    if any(isinstance(value, list | dict) for value in values):
        lists = [
            [_json_text(part) for part in (v if isinstance(v, list) else [v])]
            for v in values
        ]
        return pa.array(lists, pa.list_(pa.string()))
    return pa.array([_json_text(value) for value in values], pa.string())


def _json_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        # JSON can hold lone surrogates, which UTF-8 cannot.
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, float) and value.is_integer() and abs(value) < MAX_FLOAT:
        return str(int(value))
    return json.dumps(value)


def _encode(array: pa.Array) -> tuple[np.ndarray, list[str]]:
    encoded = pc.dictionary_encode(array)
    return np.asarray(encoded.indices, np.int64), encoded.dictionary.to_pylist()


def _to_text(array: pa.Array) -> pa.Array:
    """Any values as texts: whole floats as whole numbers, null as ""."""
    kind = array.type
    if pa.types.is_string(kind):
        return array
    if pa.types.is_floating(kind):
        values = np.asarray(array, np.float64)
        is_whole = (np.floor(values) == values) & (np.abs(values) < MAX_FLOAT)
        whole = pc.cast(
            pa.array(np.where(is_whole, values, 0).astype(np.int64)), "string"
        )
        text = pc.if_else(pa.array(is_whole), whole, pc.cast(array, pa.string()))
        return pc.if_else(pa.array(np.isnan(values)), "", text)
    return pc.cast(array, pa.string()).fill_null("")


def _sound(array: pa.Array) -> pa.Array:
    """A column of Parquet without dictionaries and nulls."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        array, kind = array.dictionary_decode(), kind.value_type
    if _is_list(kind):
        return array.fill_null([]) if array.null_count else array
    if not array.null_count:
        return _to_text(array) if pa.types.is_large_string(kind) else array
    if pa.types.is_floating(kind):
        return array.fill_null(float("nan"))
    return _to_text(array)


def _is_list(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
    )


def _one(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    if isinstance(combined, pa.ChunkedArray):
        return pa.concat_arrays(combined.chunks) if combined.num_chunks else combined
    return combined
