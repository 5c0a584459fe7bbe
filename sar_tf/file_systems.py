"""Calls file systems of URLs: those of TensorFlow, else those of Apache Beam.

Both are imported when the first remote file is used.
"""

import errno
import functools
import importlib.util
import io
import sys
from typing import Any

from sar_tf.startup import import_tensorflow


class RemoteError(OSError):
    """An error of a remote file system; its text tells the cause."""


class RawFile(io.RawIOBase):
    """A remote file, for Python's buffers; it can only be read or only be written.

    Args:
        file: A `tf.io.gfile.GFile`.
        mode: "r", or that of a file to write.
    """

    def __init__(self, file: Any, mode: str):
        super().__init__()
        self._file = file
        self._is_read = mode == "r"

    def readable(self) -> bool:
        return self._is_read

    def writable(self) -> bool:
        return not self._is_read

    def seekable(self) -> bool:
        return self._is_read

    def readinto(self, buffer: Any) -> int:
        content = _with_os_errors(self._file.read, len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def readall(self) -> bytes:
        return _with_os_errors(self._file.read)

    def write(self, content: Any) -> int:
        _with_os_errors(self._file.write, bytes(content))
        return len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        _with_os_errors(self._file.seek, offset, whence)
        return self.tell()

    def tell(self) -> int:
        return _with_os_errors(self._file.tell)

    def close(self) -> None:
        if not self.closed:
            super().close()
            _with_os_errors(self._file.close)


def call(function: str, *args, **kwargs) -> Any:
    """Calls a function of `tf.io.gfile`, whose first argument is a URL."""
    module = _file_system(args[0].partition("://")[0])
    return _with_os_errors(getattr(module, function), *args, **kwargs)


@functools.cache
def _file_system(scheme: str) -> Any:
    """The module whose functions know URLs of this scheme."""
    if "tensorflow" not in sys.modules:
        import_tensorflow()
    import tensorflow as tf

    is_known = scheme in tf.io.gfile.get_registered_schemes()
    if not is_known and importlib.util.find_spec("apache_beam") is not None:
        from sar_tf import beam_files

        if beam_files.serves(scheme):
            return beam_files
    return tf.io.gfile


def _with_os_errors(function, *args, **kwargs):
    """Calls a function of TensorFlow or Beam; its errors become OSErrors."""
    import tensorflow as tf

    try:
        return function(*args, **kwargs)
    except tf.errors.NotFoundError as error:
        raise FileNotFoundError(
            errno.ENOENT, error.message or "no such file"
        ) from error
    except tf.errors.UnimplementedError as error:
        cause = f"{error.message}; install the plug-in of this file system"
        raise RemoteError(cause) from error
    except tf.errors.OpError as error:
        raise RemoteError(" ".join(error.message.split())) from error
    except Exception as error:
        if not type(error).__module__.startswith("apache_beam"):
            raise
        raise RemoteError(" ".join(str(error).split())) from error
