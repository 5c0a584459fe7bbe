"""Paths of local files, and of files on gs://, s3://, hdfs:// and the like.

A local path is a `pathlib.Path`. Any other is a `RemotePath`, which has the methods of
`Path` that this project uses, by way of `tf.io.gfile`. TensorFlow is imported when the
first remote file is used.
"""

import errno
import fnmatch
import io
import os
import posixpath
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

_SEPARATOR = "://"


class RemotePath(os.PathLike):
    """The URL of a file or folder, such as gs://bucket/dataset.

    Args:
        url: The URL.
    """

    def __init__(self, url: str):
        self._url = url.rstrip("/")

    def __fspath__(self) -> str:
        return self._url

    def __str__(self) -> str:
        return self._url

    def __repr__(self) -> str:
        return f"RemotePath({self._url!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and self._url == other._url

    def __hash__(self) -> int:
        return hash(self._url)

    def __lt__(self, other: "RemotePath") -> bool:
        return self._url < other._url

    def __truediv__(self, name: str | os.PathLike) -> "RemotePath":
        return RemotePath(posixpath.join(self._url, os.fspath(name)))

    @property
    def name(self) -> str:
        """The last part."""
        return posixpath.basename(self._url)

    @property
    def parent(self) -> "RemotePath":
        """The folder that holds it."""
        return RemotePath(posixpath.dirname(self._url))

    def with_name(self, name: str) -> "RemotePath":
        """The path of this name in the same folder."""
        return self.parent / name

    def relative_to(self, folder: "RemotePath") -> Path:
        """The path below a folder."""
        return Path(self._url.removeprefix(f"{folder}/"))

    def resolve(self) -> "RemotePath":
        """Itself: a URL is absolute."""
        return self

    def open(self, mode: str = "r", encoding: str | None = None, **_) -> IO:
        """Opens the file; errors are those of `open`."""
        import tensorflow as tf

        file = _with_os_errors(tf.io.gfile.GFile, self._url, mode.rstrip("b") + "b")
        if "b" in mode:
            return file
        text = io.BytesIO(_with_os_errors(file.read))
        return io.TextIOWrapper(text, encoding=encoding)

    def read_bytes(self) -> bytes:
        """The content."""
        with self.open("rb") as file:
            return _with_os_errors(file.read)

    def read_text(self, encoding: str = "utf-8") -> str:
        """The content as text."""
        return self.read_bytes().decode(encoding)

    def write_bytes(self, content: bytes) -> None:
        """Replaces the content."""
        with self.open("wb") as file:
            _with_os_errors(file.write, content)

    def write_text(self, text: str, encoding: str = "utf-8") -> None:
        """Replaces the content by a text."""
        self.write_bytes(text.encode(encoding))

    def exists(self) -> bool:
        """Whether there is such a file or folder."""
        return self._gfile("exists")

    def is_dir(self) -> bool:
        """Whether there is such a folder."""
        return self._gfile("isdir")

    def is_file(self) -> bool:
        """Whether there is such a file."""
        return self.exists() and not self.is_dir()

    def stat(self) -> SimpleNamespace:
        """`st_size`, the number of bytes."""
        return SimpleNamespace(st_size=self._gfile("stat").length)

    def iterdir(self) -> Iterator["RemotePath"]:
        """The files and folders inside."""
        for name in self._gfile("listdir"):
            yield self / name.rstrip("/")

    def glob(self, pattern: str) -> Iterator["RemotePath"]:
        """The files in this folder, or in a folder in it, whose names fit a pattern."""
        folder, _, names = pattern.rpartition("/")
        inside = self / folder if folder else self
        if not inside.is_dir():
            return
        for path in inside.iterdir():
            if fnmatch.fnmatchcase(path.name, names):
                yield path

    def mkdir(self, **_) -> None:
        """Makes the folder and its parents."""
        self._gfile("makedirs")

    def unlink(self, missing_ok: bool = False) -> None:
        """Deletes the file."""
        if not missing_ok or self.exists():
            self._gfile("remove")

    def replace(self, target: str | os.PathLike) -> "RemotePath":
        """Renames the file, over an older one of the new name."""
        self._gfile("rename", os.fspath(target), overwrite=True)
        return RemotePath(os.fspath(target))

    def _gfile(self, function: str, *args, **kwargs) -> Any:
        import tensorflow as tf

        call = getattr(tf.io.gfile, function)
        return _with_os_errors(call, self._url, *args, **kwargs)


AnyPath = Path | RemotePath


def as_path(path: str | os.PathLike) -> AnyPath:
    """A `Path`, or for a text such as gs://bucket/dataset a `RemotePath`."""
    text = os.fspath(path)
    return RemotePath(text) if is_remote(text) else Path(path)


def is_remote(path: str | os.PathLike) -> bool:
    """Whether a path is a URL and not a local path."""
    return _SEPARATOR in os.fspath(path)


def _with_os_errors(function, *args, **kwargs):
    """Calls a function of TensorFlow; its errors become OSErrors."""
    import tensorflow as tf

    try:
        return function(*args, **kwargs)
    except tf.errors.NotFoundError as error:
        raise FileNotFoundError(
            errno.ENOENT, error.message or "no such file"
        ) from error
    except tf.errors.UnimplementedError as error:
        cause = f"{error.message}; install the plug-in of this file system"
        raise OSError(errno.ENOSYS, cause) from error
    except tf.errors.OpError as error:
        raise OSError(errno.EIO, " ".join(error.message.split())) from error
