"""What every job shares: flags, progress bars, one-line errors, complete output."""

import argparse
import contextlib
import fcntl
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm


class UserError(Exception):
    """A mistake in a flag or an input file; shown as one line, without traceback."""


def argument_parser(name: str, description: str) -> argparse.ArgumentParser:
    """A parser with the flags that every job has: --output_dir and --seed.

    Args:
        name: The job's module in this package, such as "amazon".
        description: One sentence on what the job does.
    """
    parser = argparse.ArgumentParser(
        prog=f"pipelines/{name}.py", description=description, allow_abbrev=False
    )
    parser.add_argument(
        "--output_dir",
        type=Path,
        required=True,
        help="folder to make; it must not exist or be empty",
    )
    parser.add_argument(
        "--seed", type=seed_number, default=1, help="of every random draw (default: 1)"
    )
    return parser


def add_max_bad_fraction(parser: argparse.ArgumentParser) -> None:
    """Adds the flag of the jobs that read raw logs."""
    parser.add_argument(
        "--max_bad_fraction",
        type=fraction,
        default=0.01,
        help="fail when more of a file's rows than this are malformed "
        "(default: 0.01); rejects.csv lists them",
    )


def run(
    parser: argparse.ArgumentParser,
    job: Callable[[argparse.Namespace], None],
    argv: list[str] | None = None,
) -> None:
    """Parses the command line and runs the job; user errors end in one line.

    The job gets the parsed flags and, as `command`, the command line itself.
    """
    argv = sys.argv[1:] if argv is None else argv
    args = parser.parse_args(argv)
    args.command = shlex.join(["python", parser.prog, *argv])
    try:
        job(args)
    except (UserError, OSError) as error:
        sys.exit(f"{parser.prog}: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{parser.prog}: interrupted, nothing was written")


def require_file(path: Path, flag: str) -> None:
    """Fails, naming the flag, where there is no such input file."""
    if not path.is_file():
        raise UserError(f"--{flag} {path}: no such file")


def progress(description: str, total: int | None, unit: str) -> tqdm:
    """A progress bar with a rate, on stderr; `update` it, use it in a `with`."""
    return tqdm(desc=description, total=total, unit=unit, unit_scale=True)


@contextlib.contextmanager
def staged_output(output_dir: Path) -> Iterator[Path]:
    """Gives a hidden folder to write into, renamed to output_dir when complete.

    The hidden folder stands beside output_dir. A job that fails removes it; what a
    killed job leaves of it is removed when the job is run again.

    Raises:
        UserError: output_dir is taken, or another job is writing it.
    """
    output_dir = Path(output_dir).resolve()
    _require_free(output_dir)
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    staging = output_dir.with_name(f".{output_dir.name}.partial")
    staging.mkdir(exist_ok=True)
    with _locked(staging, output_dir):
        _clear(staging)
        try:
            yield staging
            _sync(staging)
            staging.rename(output_dir)
        except BaseException:
            shutil.rmtree(staging)
            raise
        _sync_one(output_dir.parent)


def seed_number(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def fraction(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _require_free(output_dir: Path) -> None:
    if output_dir.exists() and not output_dir.is_dir():
        raise UserError(f"--output_dir {output_dir} is a file; name a folder")
    if output_dir.is_dir() and any(output_dir.iterdir()):
        raise UserError(
            f"--output_dir {output_dir} already holds files; name another folder, "
            "or delete it first"
        )


@contextlib.contextmanager
def _locked(staging: Path, output_dir: Path) -> Iterator[None]:
    """Holds a lock on the folder, which the system lifts when the job dies."""
    descriptor = os.open(staging, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The other job may have renamed the folder between the two calls.
            locked = os.path.samestat(os.fstat(descriptor), staging.stat())
        except (BlockingIOError, FileNotFoundError):
            locked = False
        if not locked:
            raise UserError(f"another job is writing --output_dir {output_dir}")
        yield
    finally:
        os.close(descriptor)


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _sync(folder: Path) -> None:
    """Makes the folder's whole content durable, so that the rename comes last."""
    for path in (*folder.rglob("*"), folder):
        _sync_one(path)


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
