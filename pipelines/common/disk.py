"""Writes files; an error names the file and its cause."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sar_tf.files import WriteError

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
        # NumPy tells only how much of an array was written, without a number.
        cause = os.strerror(error.errno) if error.errno else f"{error} (full disk?)"
        raise WriteError(f"{path} cannot be written: {cause}; {ADVICE}") from error


def save_array(path: Path, array: np.ndarray) -> None:
    """`np.save`, with an error that names the file; `path` ends in .npy."""
    with writing(path):
        np.save(path, array)


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """`np.savez`, with an error that names the file; `path` ends in .npz."""
    with writing(path):
        np.savez(path, **arrays)
