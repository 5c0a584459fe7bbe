"""Reads a piece of a file into rows, whatever its format."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from pipelines.common.lines import count_fields
from pipelines.common.report import BadRow
from pipelines.logs.files import SEPARATORS, Piece, open_parquet, parse_json
from pipelines.logs.rows import MAX_FLOAT, Rows, is_list, to_text

BATCH_ROWS = 1 << 17  # Rows of Parquet that are in memory at once.
FIRST_LINES = {"csv": 2, "tsv": 2, "json": 1, "parquet": 1}  # Line of the first row.


def read_piece(piece: Piece, columns: Sequence[str]) -> Iterator[Rows]:
    """The rows of a piece, a bounded number at a time."""
    if piece.format == "parquet":
        yield from _read_parquet(piece, columns)
        return
    with piece.path.open("rb") as file:
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
            texts = rows.raw_texts(own)
            found |= dict(zip(rows.line[own].tolist(), texts, strict=True))
    else:
        with piece.path.open("rb") as file:
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
    bad_return = ~bad_quotes & _has_bare_return(text, data, starts, ends)
    bad_width = ~bad_quotes & ~bad_return & (num_fields != len(piece.header))
    whole = is_row & ~bad_quotes & ~bad_return & ~bad_width
    bad = []
    for is_bad, reason in (
        (is_row & bad_quotes, "unclosed quote"),
        (is_row & bad_return, "carriage return outside of quotes"),
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


def _has_bare_return(
    text: bytes, data: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """[lines] whether a carriage return outside of quotes would end a line early."""
    found = np.zeros(len(ends), bool)
    for line in np.unique(np.searchsorted(ends, np.flatnonzero(data == ord("\r")))):
        unquoted = text[starts[line] : ends[line]].split(b'"')[::2]
        found[line] = any(b"\r" in part for part in unquoted)
    return found


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


def _sound(array: pa.Array) -> pa.Array:
    """A column of Parquet without dictionaries and nulls."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        array, kind = array.dictionary_decode(), kind.value_type
    if is_list(kind):
        return array.fill_null([]) if array.null_count else array
    if not array.null_count:
        return to_text(array) if pa.types.is_large_string(kind) else array
    if pa.types.is_floating(kind):
        return array.fill_null(float("nan"))
    return to_text(array)


def _one(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    if isinstance(combined, pa.ChunkedArray):
        return pa.concat_arrays(combined.chunks) if combined.num_chunks else combined
    return combined
