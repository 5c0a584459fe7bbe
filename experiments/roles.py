"""Whether a process is a whole search, its chief, or one of its workers.

Keras Tuner reads the same three variables.
"""

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from experiments.flagfile import FlagError
from sar_tf.files import try_lock

_ID, _IP, _PORT = (
    "KERASTUNER_TUNER_ID",
    "KERASTUNER_ORACLE_IP",
    "KERASTUNER_ORACLE_PORT",
)


def role(environment: Mapping[str, str] = os.environ) -> str:
    """ "alone", "chief" or "worker", of the variables of Keras Tuner.

    Raises:
        FlagError: One of the variables is missing, or the port is no number.
    """
    if not any(environment.get(name) for name in (_ID, _IP, _PORT)):
        return "alone"
    for name in (_ID, _IP, _PORT):
        if not environment.get(name):
            raise FlagError(
                f"{name} is not set: a search of several processes needs {_ID}, "
                f"{_IP} and {_PORT}"
            )
    if not environment[_PORT].isdecimal():
        raise FlagError(f"{_PORT}={environment[_PORT]}: write a whole number")
    return "chief" if "chief" in environment[_ID] else "worker"


def chief_address() -> str:
    """The chief's host and port, for messages."""
    return f"{os.environ[_IP]}:{os.environ[_PORT]}"


def require_free_port() -> None:
    """Checks that the chief can listen; Keras Tuner shares a port silently.

    Raises:
        FlagError: It cannot.
    """
    with socket.socket() as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((os.environ[_IP], int(os.environ[_PORT])))
        except OSError as error:
            raise FlagError(
                f"{_IP} and {_PORT}: {chief_address()} cannot be listened on "
                f"({error.strerror}); name an address of this machine and a free port"
            ) from error


@contextlib.contextmanager
def only_search(folder: Path) -> Iterator[None]:
    """Keeps other searches out of a folder, which is made; its workers may come.

    Raises:
        FlagError: Another search is under way there.
        OSError: The folder cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if not try_lock(descriptor):
            raise FlagError(
                f"--tune_dir={folder}: another search works in this folder; wait for "
                "its end, or name another folder"
            )
        yield
    finally:
        os.close(descriptor)
