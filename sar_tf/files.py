"""Files and folders that appear only when they are complete. Needs no TensorFlow."""

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from sar_tf.file_systems import RemoteError
from sar_tf.paths import AnyPath, as_path, copy_bytes, is_remote

_PREFIX = ".partial-"
ADVICE = (
    "free some disk space or make the folder writable, then start again; files that "
    "were complete before are unchanged, and a run can be resumed"
)


class WriteError(OSError):
    """A file cannot be written; names the file, the reason and what to do."""


def reason_of(error: OSError) -> str:
    """The cause of an error on one line."""
    if error.errno and not isinstance(error, RemoteError):
        # The text of an HDF5 error has many lines; its number gives a short text.
        return os.strerror(error.errno)
    return str(error)


def partial_path(path: str | os.PathLike) -> AnyPath:
    """The hidden path beside `path` to which its content is written first."""
    path = as_path(path)
    return path.with_name(f"{_PREFIX}{path.name}")


def is_partial(path: str | os.PathLike) -> bool:
    """Whether a path is one that `partial_path` gives."""
    return as_path(path).name.startswith(_PREFIX)


def remove_partial(folder: str | os.PathLike) -> None:
    """Removes the unfinished files that a killed process left in a folder."""
    for path in Path(folder).glob(f"{_PREFIX}*"):
        path.unlink()


@contextlib.contextmanager
def whole_file(
    path: str | os.PathLike, previous: str | os.PathLike | None = None
) -> Iterator[AnyPath]:
    """Gives the name of a file beside `path` to write, then renames it to `path`.

    After any error `path` is as it was before, and the file beside it is removed. A
    killed process leaves the file beside it; see `remove_partial`.

    Args:
        path: The file to make or replace.
        previous: New name of the old file at `path`; None deletes it. A process that
            is killed between the two renamings leaves `previous` and no `path`.

    Raises:
        WriteError: The disk is full, or the folder is missing or not writable.
    """
    path = as_path(path)
    beside = partial_path(path)
    try:
        yield beside
        if not is_remote(path):
            _sync(beside)
        if previous is not None and path.exists():
            path.replace(previous)
        beside.replace(path)
    except OSError as error:
        reason = reason_of(error)
        raise WriteError(f"{path} cannot be written: {reason}; {ADVICE}") from error
    finally:
        # On a failing disk this fails too; the first error says more.
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def copy_file(source: AnyPath, target: AnyPath) -> None:
    """Copies a file; `target` appears when the copy is complete.

    Several processes may write the same target.
    """
    beside = partial_path(target.with_name(f"{uuid.uuid4().hex}-{target.name}"))
    try:
        copy_bytes(source, beside)
        beside.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def local_file(path: AnyPath) -> Iterator[Path]:
    """Gives a local file to write, for writers that know no others.

    It is `path` itself, or for a remote path a temporary file that is copied there at
    the end.
    """
    if isinstance(path, Path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / path.name
        yield own
        copy_file(own, path)


@contextlib.contextmanager
def folder_beside(path: AnyPath) -> Iterator[Path]:
    """Gives a temporary local folder: beside `path`, or for a remote path anywhere."""
    beside = None
    if isinstance(path, Path):
        beside = path.parent
        beside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=beside) as folder:
        yield Path(folder)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Makes or replaces a text file, whole or not at all; errors as `whole_file`'s."""
    with whole_file(path) as beside:
        beside.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def whole_folder(path: str | os.PathLike, replace: bool = False) -> Iterator[Path]:
    """Gives an empty folder beside `path` to fill, then renames it to `path`.

    After any error `path` is as it was before, and the folder beside it is removed. If
    the process is killed, the next call for the same `path` removes that folder.

    Args:
        path: The folder to make; missing parents are made.
        replace: Whether to replace a folder that holds files; if false, such a folder
            is an OSError.

    Raises:
        WriteError: Another process is writing the same folder.
    """
    path = Path(path)
    beside = Path(partial_path(path))
    beside.mkdir(parents=True, exist_ok=True)
    with _locked(beside, path):
        _clear(beside)
        try:
            yield beside
            for entry in (*beside.rglob("*"), beside):
                _sync(entry)
            if replace and path.exists():
                shutil.rmtree(path)
            beside.rename(path)
        except BaseException:
            shutil.rmtree(beside)
            raise
        _sync(path.parent)


def try_lock(descriptor: int) -> bool:
    """Locks an open file or folder; the system unlocks it when the process ends.

    Args:
        descriptor: Of the file; a network file system may want it open for writing.

    Returns:
        Whether the lock was free.
    """
    import fcntl  # Not on every system; reading a dataset must work without it.

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _locked(beside: Path, path: Path) -> Iterator[None]:
    """Holds a lock on a folder; the system releases it when the process ends."""
    descriptor = os.open(beside, os.O_RDONLY)
    try:
        is_ours = False
        # The other process may have renamed the folder between the calls.
        with contextlib.suppress(FileNotFoundError):
            is_ours = try_lock(descriptor) and os.path.samestat(
                os.fstat(descriptor), beside.stat()
            )
        if not is_ours:
            raise WriteError(f"another process is writing {path}; wait for it to end")
        yield
    finally:
        os.close(descriptor)


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _sync(path: str | os.PathLike) -> None:
    """Waits until a file or folder is on the disk, so that the rename comes last."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
