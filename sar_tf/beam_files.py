"""Apache Beam's file systems, by the functions of `tf.io.gfile` that `paths` uses.

They serve URLs of object stores for which TensorFlow has no plug-in, such as s3:// with
`apache-beam[aws]`. A folder is what the names of files begin with.
"""

import errno
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.options.value_provider import RuntimeValueProvider


def serves(scheme: str) -> bool:
    """Whether URLs of this scheme belong to an object store of which Beam knows."""
    if FileSystems._pipeline_options is RuntimeValueProvider.runtime_options is None:
        # There is no pipeline yet; keys come from the environment.
        FileSystems.set_options(PipelineOptions([]))
    try:
        return not FileSystems.get_filesystem(f"{scheme}://").has_dirs()
    except (ValueError, OSError):  # It is unknown, or needs flags.
        return False


def GFile(url: str, mode: str) -> Any:
    """Opens a file for "rb" or "wb"."""
    # By default Beam would unpack what is named .gz.
    kind = CompressionTypes.UNCOMPRESSED
    if mode == "rb":
        return FileSystems.open(url, compression_type=kind)
    return _Upload(FileSystems.create(url, compression_type=kind))


class _Upload:
    """A file to write; makes empty ones, too, which Beam fails to do on s3://."""

    def __init__(self, file: Any):
        self._file = file
        self._is_empty = True

    def write(self, content: bytes) -> None:
        self._is_empty = self._is_empty and not content
        self._file.write(content)

    def close(self) -> None:
        uploader = getattr(getattr(self._file, "raw", None), "_uploader", None)
        write_part = getattr(uploader, "_write_to_s3", None)
        if self._is_empty and write_part is not None:
            write_part(b"")  # Otherwise the object has no part.
        self._file.close()


def exists(url: str) -> bool:
    """Whether there is such a file or folder."""
    return FileSystems.exists(url) or isdir(url)


def isdir(url: str) -> bool:
    """Whether there are files in such a folder."""
    return any(True for _ in _match(f"{url}/**", limit=1))


def stat(url: str) -> SimpleNamespace:
    """`length`, the number of bytes of a file."""
    for found in _match(url):
        return SimpleNamespace(length=found.size_in_bytes)
    raise FileNotFoundError(errno.ENOENT, "no such file", url)


def listdir(url: str) -> list[str]:
    """The names in a folder."""
    below = [found.path.removeprefix(f"{url}/") for found in _match(f"{url}/**")]
    return sorted({path.partition("/")[0] for path in below})


def glob(pattern: str) -> list[str]:
    """The files that a pattern matches."""
    return [found.path for found in _match(pattern)]


def makedirs(url: str) -> None:
    """Does nothing: a folder is there when it has a file."""


def remove(url: str) -> None:
    """Deletes a file."""
    FileSystems.delete([url])


def rmtree(url: str) -> None:
    """Deletes a folder with all files in it."""
    paths = [found.path for found in _match(f"{url}/**")]
    if paths:
        FileSystems.delete(paths)


def rename(url: str, target: str, overwrite: bool) -> None:
    """Renames a file, over another one."""
    if overwrite and FileSystems.exists(target):
        FileSystems.delete([target])
    FileSystems.rename([url], [target])


def _match(pattern: str, limit: int | None = None) -> Iterator[Any]:
    for result in FileSystems.match([pattern], limits=[limit]):
        yield from result.metadata_list
