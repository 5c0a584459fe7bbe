"""Writes files, whose errors name the file and its cause, and reads arrays.

Paths may be remote. A local file is written in its place and read by the page; a remote
one is written as a temporary file and copied, and read as a whole.
"""

import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sar_tf.file_systems import RemoteError
from sar_tf.files import WriteError, local_file, reason_of
from sar_tf.paths import AnyPath

ADVICE = "free some disk space or make the folder writable, then run the job again"


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Turns an error while a file is written into one that names the file.

    Args:
        path: The file that the `with` block writes.

    Raises:
        WriteError: Names the file, the cause and what to do.
    """
    try:
        yield
    except OSError as error:
        cause = reason_of(error)
        if not error.errno and not isinstance(error, RemoteError):
            # NumPy tells only how much of an array was written, without a number.
            cause += " (full disk?)"
        raise WriteError(f"{path} cannot be written: {cause}; {ADVICE}") from error


def save_array(path: AnyPath, array: np.ndarray) -> None:
    """`np.save`, with an error that names the file; `path` ends in .npy."""
    with writing(path), local_file(path) as own:
        np.save(own, array)
    _load_once.cache_clear()  # It can hold the file's earlier content.


def save_arrays(path: AnyPath, **arrays: np.ndarray) -> None:
    """`np.savez`, with an error that names the file; `path` ends in .npz."""
    with writing(path), local_file(path) as own:
        np.savez(own, **arrays)


def load_array(path: AnyPath) -> np.ndarray:
    """What `save_array` saved."""
    with path.open("rb") as file:
        return np.load(file)


def map_array(path: AnyPath) -> np.ndarray:
    """What `save_array` saved, to be read by the page; a remote one once a process."""
    if isinstance(path, Path):
        return np.load(path, mmap_mode="r")
    return _load_once(path)


@contextlib.contextmanager
def open_arrays(path: AnyPath) -> Iterator[np.lib.npyio.NpzFile]:
    """What `save_arrays` saved; an array is read when it is taken."""
    with path.open("rb") as file, np.load(file) as arrays:
        yield arrays


@functools.lru_cache(maxsize=4)
def _load_once(path: AnyPath) -> np.ndarray:
    return load_array(path)
