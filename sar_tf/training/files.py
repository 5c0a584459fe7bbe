"""Files of a run that are whole or not there at all, on a disk that may be full."""

import contextlib
import errno
import os
from pathlib import Path

import tensorflow as tf

_ADVICE = (
    "what was complete before still is: make room or the folder writable, and go on "
    "with --resume"
)


class WriteError(OSError):
    """A file that cannot be written; says which, why and what to do."""


@contextlib.contextmanager
def whole_file(path, previous=None):
    """Gives the name of a file to write beside `path`, whose place it then takes.

    Where anything goes wrong on the way, `path` stays as it was and the file beside it
    is removed. A process that is killed leaves it; `remove_partial` does away with it.

    Args:
        path: The file to make or replace.
        previous: What the file that was there before is called from then on; None
            deletes it. Killed between the two renamings, a process leaves `previous`
            and no `path`.

    Raises:
        WriteError: The disk is full, the folder is gone or must not be written.
    """
    path = Path(path)
    beside = path.with_name(f".partial-{path.name}")
    try:
        yield beside
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            path.replace(previous)
        beside.replace(path)
    except OSError as error:
        # Not the error's own text, which HDF5 writes over many lines.
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise WriteError(f"{path} cannot be written: {reason}; {_ADVICE}") from error
    finally:
        # On a disk that fails this fails too; the first error says more.
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def remove_partial(folder):
    """Removes what a process that was killed was writing into a folder."""
    for path in Path(folder).glob(".partial-*"):
        path.unlink()


def reserve(path, num_bytes):
    """Fails where there is no room for a file of so many bytes; leaves one as large.

    Raises:
        OSError: The disk, a quota or the limit of a file's size is too small.
    """
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, num_bytes)


@contextlib.contextmanager
def full_disk_named(folder):
    """Makes TensorFlow's error of a full disk (events, SavedModel) a `WriteError`.

    Args:
        folder: Where the files go.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        reason = os.strerror(errno.ENOSPC)
        if reason not in error.message:
            raise  # It is memory that is exhausted.
        raise WriteError(f"{folder} cannot be written: {reason}; {_ADVICE}") from error
