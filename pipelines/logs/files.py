"""Finds the files of a table, and cuts them into pieces that fit into memory."""

import csv
import gzip
import json
import shutil
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.common.disk import writing
from pipelines.common.job import UserError
from pipelines.common.lines import cut_lines
from sar_tf.paths import AnyPath, as_path, find_paths

GZIP_MAGIC = b"\x1f\x8b"
SEPARATORS = {"csv": ",", "tsv": "\t"}
SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
PIECE_ROWS = 100_000  # Fewest rows of a piece of Parquet, in whole row groups.
HEAD_BYTES = 1 << 18  # Of a text file, to find columns and types.


class Piece(NamedTuple):
    """Some rows of a file: bytes of lines, or row groups of Parquet."""

    path: AnyPath
    name: str  # In messages and in the list of malformed rows.
    format: str
    header: tuple[str, ...]  # Columns; empty for JSON, whose rows name them.
    start: int
    end: int
    num_bytes: int  # For progress.


def find_files(patterns: Sequence[str], flag: str) -> list[AnyPath]:
    """The files of a table: files, all files of folders, or what patterns match.

    Files whose name begins with "." or "_" are not read from folders.

    Args:
        patterns: AnyPaths or patterns.
        flag: The setting that names them, for errors.

    Raises:
        UserError: Nothing is found, or a file's name does not tell its format.
    """
    found = []
    for pattern in patterns:
        path = as_path(pattern)
        if path.is_dir():
            entries = sorted(
                entry
                for entry in path.rglob("*")
                if entry.is_file() and entry.name[0] not in "._"
            )
            if not entries:
                raise UserError(f"--{flag} {path}: the folder holds no files")
        elif path.is_file():
            entries = [path]
        else:
            entries = find_paths(pattern)
            if not entries:
                raise UserError(f"--{flag} {path}: no such file")
        found += entries
    for path in found:
        file_format(path)
    return found


def file_format(path: AnyPath) -> str:
    """One of "csv", "tsv", "json" and "parquet", by the file's name.

    Raises:
        UserError: The name ends in none of the known suffixes.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in (".gz", ".gzip"):
        suffixes.pop()
    if not suffixes or suffixes[-1] not in SUFFIXES:
        raise UserError(
            f"{path}: the name does not tell the format; it must end in "
            f"{', '.join(SUFFIXES)}, perhaps with .gz behind it"
        )
    return SUFFIXES[suffixes[-1]]


def is_compressed(path: AnyPath) -> bool:
    """Whether the file begins as gzip does."""
    with path.open("rb") as file:
        return file.read(len(GZIP_MAGIC)) == GZIP_MAGIC


def unpack(path: AnyPath, target: AnyPath) -> AnyPath:
    """Unpacks a gzip'd file, so that several processes can read it.

    Raises:
        UserError: The file is damaged.
    """
    try:
        with (
            path.open("rb") as file,
            gzip.GzipFile(fileobj=file) as packed,
            writing(target),
            target.open("wb") as unpacked,
        ):
            shutil.copyfileobj(packed, unpacked, 1 << 20)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(
            f"{path} is cut short or damaged ({error}); download it again"
        ) from error
    return target


def header_of(path: AnyPath, name: AnyPath) -> tuple[str, ...]:
    """The columns of a file; for JSON, the keys of the first rows.

    Args:
        path: The file, unpacked.
        name: The file as the user knows it.

    Raises:
        UserError: The file is empty or damaged, or repeats a column.
    """
    kind = file_format(name)
    if kind == "parquet":
        return tuple(open_parquet(path, name).schema_arrow.names)
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if kind == "json":
        return tuple(dict.fromkeys(key for row in json_rows(head, name) for key in row))
    line = head.split(b"\n", 1)[0].decode("utf-8-sig", "replace").strip("\r")
    fields = next(csv.reader([line], delimiter=SEPARATORS[kind]), [])
    header = tuple(part.strip() for part in fields)
    repeated = sorted({column for column in header if header.count(column) > 1})
    if not line.strip():
        raise UserError(f"{name}: the first line must name the columns")
    if repeated:
        raise UserError(f"{name} repeats the column {', '.join(map(repr, repeated))}")
    return header


def json_rows(head: bytes, name: AnyPath) -> list[dict]:
    """The well-formed rows among the first lines of a file of JSON lines.

    Raises:
        UserError: There is none.
    """
    lines = head.split(b"\n")
    # The last line may be cut.
    rows = [parse_json(line) for line in (lines[:-1] or lines) if line.strip()]
    rows = [row for row in rows if row is not None]
    if not rows:
        raise UserError(
            f"{name}: none of the first lines is a JSON object; one line is one row"
        )
    return rows


def parse_json(line: bytes) -> dict | None:
    """The object of a line of JSON; None for anything else."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def cut_file(path: AnyPath, name: AnyPath, header: tuple[str, ...]) -> Iterator[Piece]:
    """Cuts a file into pieces.

    Args:
        path: The file, unpacked.
        name: The file as the user knows it.
        header: Its columns.
    """
    kind = file_format(name)
    if kind != "parquet":
        for start, end in cut_lines(path, has_header=kind != "json"):
            columns = () if kind == "json" else header
            yield Piece(path, name.name, kind, columns, start, end, end - start)
        return
    metadata = open_parquet(path, name).metadata
    start = num_rows = num_bytes = 0
    for group in range(metadata.num_row_groups):
        num_rows += metadata.row_group(group).num_rows
        num_bytes += metadata.row_group(group).total_byte_size
        is_last = group + 1 == metadata.num_row_groups
        if num_rows >= PIECE_ROWS or is_last:
            end = group + 1
            yield Piece(path, name.name, kind, header, start, end, num_bytes)
            start, num_rows, num_bytes = end, 0, 0


def open_parquet(path: AnyPath, name: AnyPath) -> pq.ParquetFile:
    """Opens a Parquet file.

    Raises:
        UserError: It is none.
    """
    try:
        # Arrow reads local files by itself, in fewer copies.
        return pq.ParquetFile(path if isinstance(path, Path) else path.open("rb"))
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{name} is no Parquet file or damaged: {error}") from error
