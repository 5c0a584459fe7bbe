"""Common parts of all jobs: flags, errors of one line, a complete output folder."""

import argparse
import contextlib
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from pathlib import Path

from sar_tf.files import copy_file, folder_beside, whole_folder
from sar_tf.paths import AnyPath, RemotePath, as_path, remove_tree

LAST = "dataset_info.json"  # Makes a folder a dataset.


class UserError(Exception):
    """A mistake in a flag or an input file; shown as one line, without traceback."""


def argument_parser(
    name: str, description: str, needs_output: bool = True
) -> argparse.ArgumentParser:
    """A parser with the flags that every job has: --output_dir and --seed.

    Args:
        name: The job's package in pipelines, such as "amazon".
        description: One sentence on what the job does.
        needs_output: Whether the flag --output_dir must be given.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m pipelines.{name}", description=description, allow_abbrev=False
    )
    parser.add_argument(
        "--output_dir",
        type=as_path,
        required=needs_output,
        help="folder to make; it must be empty if it exists; may be remote, such as "
        "gs://bucket/dataset",
    )
    parser.add_argument(
        "--seed",
        type=seed_number,
        default=1,
        help="seed of all random draws; the same seed gives the same files "
        "(default: %(default)s)",
    )
    return parser


def add_max_bad_fraction(parser: argparse.ArgumentParser) -> None:
    """Adds the flag --max_bad_fraction, for jobs that read raw logs."""
    parser.add_argument(
        "--max_bad_fraction",
        type=fraction,
        default=0.01,
        help="largest share of malformed rows in an input file, from 0 to 1; the job "
        "fails above it, and rejects.csv lists the rows (default: %(default)s)",
    )


def add_allow_empty_splits(parser: argparse.ArgumentParser) -> None:
    """Adds the flag --allow_empty_splits, for jobs that make a dataset."""
    parser.add_argument(
        "--allow_empty_splits",
        action="store_true",
        help="make the dataset even if train, validation or test has no target; "
        "without it that fails the job",
    )


def run(
    parser: argparse.ArgumentParser,
    job: Callable[[argparse.Namespace], None],
    argv: list[str] | None = None,
) -> None:
    """Parses the command line and runs the job; user errors end in one line.

    Args:
        parser: See `argument_parser`.
        job: Gets the parsed flags, as `command` the command line itself and, in a
            job with --engine, as `beam_flags` the flags that it does not know.
        argv: Arguments of the command line; None for the process's own.
    """
    argv = sys.argv[1:] if argv is None else argv
    args, others = parser.parse_known_args(argv)
    if getattr(args, "engine", "local") == "beam":
        args.beam_flags = others
    elif others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    args.command = f"{parser.prog} {shlex.join(argv)}"
    try:
        job(args)
    except (UserError, OSError) as error:
        sys.exit(f"{parser.prog}: {error}")
    except MemoryError as error:
        sys.exit(f"{parser.prog}: not enough memory ({error}), nothing was written")
    except BrokenExecutor:
        sys.exit(
            f"{parser.prog}: one of its processes was killed, nothing was written; "
            "the system does so when memory is short"
        )
    except KeyboardInterrupt:
        sys.exit(f"{parser.prog}: interrupted, nothing was written")


def require_file(path: AnyPath, flag: str) -> None:
    """Raises a UserError that names the flag if the input file does not exist."""
    if not path.is_file():
        raise UserError(f"--{flag} {path}: no such file")


@contextlib.contextmanager
def staged_output(output_dir: str | os.PathLike) -> Iterator[Path]:
    """Gives a hidden folder to write into, renamed to output_dir when complete.

    A job that fails removes the hidden folder. If a job is killed, the next one with
    the same output_dir removes it.

    For a remote output_dir the folder is a temporary one of this machine. Its files are
    copied at the end, dataset_info.json last.

    Raises:
        UserError: output_dir is a file or holds files.
        WriteError: Another job is writing a local output_dir.
    """
    output_dir = as_path(output_dir).resolve()
    if output_dir.exists() and not output_dir.is_dir():
        raise UserError(f"--output_dir {output_dir} is a file; name a folder")
    if output_dir.is_dir() and any(output_dir.iterdir()):
        raise UserError(
            f"--output_dir {output_dir} already holds files; name another folder, "
            "or delete this one first"
        )
    if isinstance(output_dir, RemotePath):
        with folder_beside(output_dir) as folder, _removed_on_error(output_dir):
            yield folder
            _copy_folder(folder, output_dir)
        return
    with whole_folder(output_dir) as staging:
        yield staging


@contextlib.contextmanager
def _removed_on_error(output_dir: RemotePath) -> Iterator[None]:
    try:
        yield
    except BaseException:
        remove_tree(output_dir)
        raise


def _copy_folder(folder: Path, target: RemotePath) -> None:
    """Copies all files of a folder; the one named `LAST` comes last."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda path: (path.name == LAST, path)):
        copied = target / path.relative_to(folder).as_posix()
        copied.parent.mkdir()
        copy_file(path, copied)


def seed_number(text: str) -> int:
    """An integer of at least 0, for argparse."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def fraction(text: str) -> float:
    """A number from 0 to 1, for argparse."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value
