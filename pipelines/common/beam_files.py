"""Files of a Beam job in its own folder: what one pipeline leaves for the next.

Workers can run a step twice, even at the same time. A file's name therefore depends on
its content's key alone, and the file appears when it is complete.
"""

import contextlib
import pickle
import uuid
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam

from pipelines.common.beam_pairs import map_pairs
from pipelines.common.disk import writing
from sar_tf.files import local_file
from sar_tf.paths import AnyPath

NUM_FILES = 64  # For rows that are spread over files by a checksum.


@contextlib.contextmanager
def written_once(path: AnyPath, work: AnyPath) -> Iterator[Path]:
    """Gives a new name in `work` to write to, then renames the file to `path`.

    If `path` is remote, the name is that of a temporary file of the worker, which is
    copied at the end.

    Args:
        path: The file to make or replace.
        work: The job's own folder, on the same file system. What a killed worker
            leaves there goes with it.
    """
    with writing(path):
        if not isinstance(work, Path):
            with local_file(path) as own:
                yield own
            return
        beside = work / f"unfinished-{uuid.uuid4().hex}{path.suffix}"
        yield beside
        beside.replace(path)


def save_object(path: AnyPath, value: Any, work: AnyPath) -> None:
    """Writes one object; see `load_object`."""
    with written_once(path, work) as beside:
        beside.write_bytes(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))


def load_object(path: AnyPath) -> Any:
    """Reads what `save_object` wrote."""
    # The job itself wrote the file, into its own folder.
    return pickle.loads(path.read_bytes())


def file_of(raw_id: str) -> int:
    """The file that a raw id goes to."""
    return zlib.crc32(raw_id.encode()) % NUM_FILES


class Save(beam.PTransform):
    """Saves rows for the job's main process, which reads them by `load_rows`.

    Rows `(file, value)` go to the file of this number, in any order.

    Args:
        work: The job's own folder.
        name: First part of the files' names.
    """

    def __init__(self, work: AnyPath, name: str):
        super().__init__()
        self._work = work
        self._name = name

    def expand(self, rows):
        return (
            rows
            | beam.GroupByKey()
            | map_pairs("write", _save_rows, work=self._work, name=self._name)
        )


def _save_rows(file: int, values: Iterable[Any], work: AnyPath, name: str) -> None:
    path = work / f"{name}-{file:05d}.rows"
    with written_once(path, work) as beside, open(beside, "wb") as stream:
        for value in values:
            pickle.dump(value, stream, pickle.HIGHEST_PROTOCOL)


def load_rows(work: AnyPath, name: str) -> Iterator[Any]:
    """The rows that `Save` saved, one after another, by the number of the file."""
    for path in sorted(work.glob(f"{name}-*.rows")):
        with path.open("rb") as stream:
            while stream.peek(1):
                # The job itself wrote the file, into its own folder.
                yield pickle.load(stream)
