"""Pieces of a file that workers of a Beam pipeline read independently."""

import codecs
from collections.abc import Iterator

import apache_beam as beam

from pipelines.amazon import reader
from pipelines.amazon.reader import GZIP_MAGIC, Piece, read_pieces
from sar_tf.paths import AnyPath


class ReadPieces(beam.PTransform):
    """Gives `(index, piece)` of all lines of a file.

    Workers read ranges of a plain file each; one worker unpacks a gzip file.

    Args:
        path: The file; all workers see it.
    """

    def __init__(self, path: AnyPath):
        super().__init__()
        self._path = path

    def expand(self, pipeline):
        if _is_gzip(self._path):
            return (
                pipeline
                | beam.Create([self._path])
                | beam.FlatMap(_unpack)
                | beam.Reshuffle()
            )
        size, step = self._path.stat().st_size, reader.PIECE_BYTES
        return (
            pipeline
            | beam.Create(range(-(-size // step)))
            | beam.Reshuffle()
            | beam.Map(_read_numbered, path=self._path, step=step)
        )


def read_range(path: AnyPath, start: int, end: int) -> Piece:
    """The lines of a plain file that begin in a range of bytes.

    Args:
        path: The file.
        start: First byte of the range.
        end: First byte behind the range.
    """
    with path.open("rb") as file:
        if start:
            # The line that the byte before belongs to began in an earlier range.
            file.seek(start - 1)
            file.readline()
        first = file.tell()
        text = b""
        if first < end:
            text = file.read(end - first - 1) + file.readline()
        if not start:
            text = text.removeprefix(codecs.BOM_UTF8)
    num_lines = text.count(b"\n") + (not text.endswith((b"\n",)) and text != b"")
    return Piece(text, num_lines, end - start)


def _is_gzip(path: AnyPath) -> bool:
    with path.open("rb") as file:
        return file.read(len(GZIP_MAGIC)) == GZIP_MAGIC


def _unpack(path: AnyPath) -> Iterator[tuple[int, Piece]]:
    yield from enumerate(read_pieces(path))


def _read_numbered(index: int, path: AnyPath, step: int) -> tuple[int, Piece]:
    return index, read_range(path, index * step, (index + 1) * step)
