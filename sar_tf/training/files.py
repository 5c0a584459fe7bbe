"""Disk space and memory of a run."""

import contextlib
import errno
import os
from collections.abc import Iterator

import tensorflow as tf

from sar_tf.files import ADVICE, WriteError


def reserve(path: str | os.PathLike, num_bytes: int) -> None:
    """Writes a file of this size, to notice a full disk before its content is written.

    Args:
        path: The file.
        num_bytes: Its size.

    Raises:
        OSError: The disk, a quota or the limit of a file's size is too small.
    """
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, num_bytes)


class OutOfMemoryError(RuntimeError):
    """A tensor does not fit into the memory; the text says what to lower."""


@contextlib.contextmanager
def exhaustion_named(folder: str | os.PathLike) -> Iterator[None]:
    """Turns TensorFlow's errors of a full disk and a full memory into one line.

    Args:
        folder: The folder of the files (events, SavedModel).

    Raises:
        WriteError: The disk is full.
        OutOfMemoryError: The memory is.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        reason = os.strerror(errno.ENOSPC)
        if reason not in error.message:
            first_line = error.message.strip().split("\n")[0]
            raise OutOfMemoryError(
                f"not enough memory ({first_line}); lower batch_size, "
                "evaluation_batch_size, max_rec_history, max_search_history or the "
                "model's sizes"
            ) from error
        raise WriteError(f"{folder} cannot be written: {reason}; {ADVICE}") from error
