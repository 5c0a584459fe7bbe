"""The folders that a job fills, and how they become a dataset."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipelines.common import job
from sar_tf.files import partial_path
from sar_tf.paths import AnyPath, as_path, is_remote, remove_tree


class Staging(NamedTuple):
    """The folders of an unfinished dataset.

    Attributes:
        folder: On this machine: tables and dataset_info.json.
        scratch: On this machine: files of the job's main process.
        shards: The shards; all of the job's processes see it.
        work: The job's own files; all of the job's processes see it.
    """

    folder: Path
    scratch: Path
    shards: AnyPath
    work: AnyPath


@contextlib.contextmanager
def staged_dataset(output_dir: str | os.PathLike, engine: str) -> Iterator[Staging]:
    """Gives the folders to fill, which become `output_dir` when they are complete.

    Processes of one machine share a local folder, see `staged_output`. The workers of a
    Beam job share a hidden folder beside `output_dir`. If that is remote, an object
    store has no renaming of folders: the shards are moved one by one, the tables are
    copied, and dataset_info.json, without which no reader takes the folder for a
    dataset, comes last.

    Args:
        output_dir: The folder to make; may be remote.
        engine: "local" or "beam".

    Raises:
        UserError: output_dir is a file or holds files.
        WriteError: Another job is writing a local output_dir.
    """
    output_dir = as_path(output_dir)
    with job.staged_output(output_dir) as folder:
        scratch = folder / "work"
        scratch.mkdir()
        if engine == "beam" and is_remote(output_dir):
            with _shared_folder(output_dir) as shared:
                yield Staging(folder, scratch, shared, shared / "work")
        else:
            yield Staging(folder, scratch, folder, scratch)
        remove_tree(scratch)


@contextlib.contextmanager
def _shared_folder(output_dir: AnyPath) -> Iterator[AnyPath]:
    """Gives a remote hidden folder; its files, except "work", go to `output_dir`."""
    shared = partial_path(output_dir)
    remove_tree(shared)  # Of a job that was killed.
    (shared / "work").mkdir()
    try:
        yield shared
        output_dir.mkdir()
        for path in sorted(shared.iterdir()):
            if path.is_file():
                path.replace(output_dir / path.name)
    finally:
        remove_tree(shared)
