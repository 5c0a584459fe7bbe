"""Disk space for the files of a run."""

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


@contextlib.contextmanager
def full_disk_named(folder: str | os.PathLike) -> Iterator[None]:
    """Turns TensorFlow's error of a full disk (events, SavedModel) into `WriteError`.

    Args:
        folder: The folder of the files.

    Raises:
        WriteError: The disk is full.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        reason = os.strerror(errno.ENOSPC)
        if reason not in error.message:
            raise  # The memory is exhausted, not the disk.
        raise WriteError(f"{folder} cannot be written: {reason}; {ADVICE}") from error
