"""Paths of local files, and of files on gs://, s3://, hdfs:// and the like.

A local path is a `pathlib.Path`. Any other is a `RemotePath`, which has the methods of
`Path` that this project uses, by way of `tf.io.gfile` or, for object stores that
TensorFlow does not know, Apache Beam's file systems; see `file_systems`.
"""

import contextlib
import fnmatch
import glob
import io
import os
import posixpath
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import IO

from sar_tf.file_systems import RawFile, call

_SEPARATOR = "://"
_BUFFER_BYTES = 1 << 20  # Of a remote file that is read.


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
    def stem(self) -> str:
        """The last part without its last suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The last suffix, with its dot."""
        return PurePosixPath(self.name).suffix

    @property
    def suffixes(self) -> list[str]:
        """All suffixes, with their dots."""
        return PurePosixPath(self.name).suffixes

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
        mode, is_text = mode.replace("b", ""), "b" not in mode
        file = call("GFile", self._url, f"{mode}b")
        buffer = io.BufferedReader if mode == "r" else io.BufferedWriter
        file = buffer(RawFile(file, mode), _BUFFER_BYTES)
        return io.TextIOWrapper(file, encoding=encoding) if is_text else file

    def read_bytes(self) -> bytes:
        """The content."""
        with self.open("rb") as file:
            return file.read()

    def read_text(self, encoding: str = "utf-8") -> str:
        """The content as text."""
        return self.read_bytes().decode(encoding)

    def write_bytes(self, content: bytes) -> None:
        """Replaces the content."""
        with self.open("wb") as file:
            file.write(content)

    def write_text(self, text: str, encoding: str = "utf-8") -> None:
        """Replaces the content by a text."""
        self.write_bytes(text.encode(encoding))

    def exists(self) -> bool:
        """Whether there is such a file or folder."""
        return call("exists", self._url)

    def is_dir(self) -> bool:
        """Whether there is such a folder."""
        return call("isdir", self._url)

    def is_file(self) -> bool:
        """Whether there is such a file."""
        return self.exists() and not self.is_dir()

    def stat(self) -> SimpleNamespace:
        """`st_size`, the number of bytes."""
        return SimpleNamespace(st_size=call("stat", self._url).length)

    def iterdir(self) -> Iterator["RemotePath"]:
        """The files and folders inside."""
        for name in call("listdir", self._url):
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

    def rglob(self, pattern: str) -> Iterator["RemotePath"]:
        """The files and folders below this folder whose names fit a pattern."""
        for path in self.iterdir():
            if fnmatch.fnmatchcase(path.name, pattern):
                yield path
            if path.is_dir():
                yield from path.rglob(pattern)

    def mkdir(self, **_) -> None:
        """Makes the folder and its parents."""
        call("makedirs", self._url)

    def unlink(self, missing_ok: bool = False) -> None:
        """Deletes the file."""
        if not missing_ok or self.exists():
            call("remove", self._url)

    def rmtree(self) -> None:
        """Deletes the folder and everything in it."""
        call("rmtree", self._url)

    def replace(self, target: str | os.PathLike) -> "RemotePath":
        """Renames the file, over an older one of the new name."""
        call("rename", self._url, os.fspath(target), overwrite=True)
        return RemotePath(os.fspath(target))


AnyPath = Path | RemotePath


def as_path(path: str | os.PathLike) -> AnyPath:
    """A `Path`, or for a text such as gs://bucket/dataset a `RemotePath`."""
    text = os.fspath(path)
    return RemotePath(text) if is_remote(text) else Path(path)


def is_remote(path: str | os.PathLike) -> bool:
    """Whether a path is a URL and not a local path."""
    return _SEPARATOR in os.fspath(path)


def find_paths(pattern: str | os.PathLike) -> list[AnyPath]:
    """The sorted files and folders that a pattern such as gs://bucket/*.csv matches."""
    if not is_remote(pattern):
        return [Path(match) for match in sorted(glob.glob(os.fspath(pattern)))]
    return [RemotePath(match) for match in sorted(call("glob", os.fspath(pattern)))]


def copy_bytes(source: AnyPath, target: AnyPath) -> None:
    """Copies the content of a file; `target` may be seen before it is complete."""
    with source.open("rb") as read, target.open("wb") as written:
        shutil.copyfileobj(read, written, _BUFFER_BYTES)


def remove_tree(path: AnyPath) -> None:
    """Deletes a folder and everything in it, if there is such a folder."""
    with contextlib.suppress(FileNotFoundError):
        if isinstance(path, RemotePath):
            path.rmtree()
        else:
            shutil.rmtree(path)
