"""Brings rows from the order of a file into parts, by way of the disk.

A piece is some rows of a file, a part all rows of some users. Each piece leaves one
file with a chunk for each part; a part gathers its chunks from the files of all pieces.
Memory does not grow with the log.
"""

import pickle
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.common.disk import save_array, writing

PART_BYTES = 8 << 20  # Size of the part of a raw log that is handled at once.
MAX_PARTS = 512  # Every piece has a chunk for each: larger logs have larger parts.


def count_parts(num_bytes: int) -> int:
    """Number of parts for a raw log of this size; 1 or more."""
    return min(max(-(-num_bytes // PART_BYTES), 1), MAX_PARTS)


def parts_of(raw_ids: Iterable[str], num_parts: int) -> np.ndarray:
    """[ids] part of each raw id; equal in all processes and on all machines."""
    checksums = [zlib.crc32(raw_id.encode()) for raw_id in raw_ids]
    return np.array(checksums, np.int64) % num_parts


def save_chunks(path: Path, chunks: Sequence[Any]) -> None:
    """Saves the chunks of one piece, one for each part.

    Args:
        path: Ends in .chunks.
        chunks: Any objects that can be pickled.
    """
    blobs = [pickle.dumps(chunk, pickle.HIGHEST_PROTOCOL) for chunk in chunks]
    with writing(path), open(path, "wb") as file:
        file.writelines(blobs)
    save_array(offsets_path(path), np.cumsum([0, *map(len, blobs)]))


def load_chunks(work: Path, name: str, part: int) -> list[Any]:
    """One part's chunks of all pieces, in the order of the pieces.

    Args:
        work: Folder with the files `NAME-00000.chunks`, `NAME-00001.chunks`, …
        name: First part of the files' names.
        part: Number of the part.
    """
    chunks = []
    for path in sorted(work.glob(f"{name}-*.chunks")):
        start, end = np.load(offsets_path(path), mmap_mode="r")[part : part + 2]
        with open(path, "rb") as file:
            file.seek(int(start))
            # The job itself wrote the file, into its own folder.
            chunks.append(pickle.loads(file.read(int(end - start))))
    return chunks


def offsets_path(path: Path) -> Path:
    """The file beside `path` that tells where each part begins."""
    return path.with_suffix(".offsets.npy")
