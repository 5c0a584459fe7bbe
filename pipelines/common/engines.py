"""The flag --engine: where a job's work is done."""

import argparse
import functools
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

from pipelines.common.job import UserError
from sar_tf.startup import import_tensorflow


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Adds the flag --engine, for jobs that also run as Apache Beam pipelines."""
    parser.add_argument(
        "--engine",
        choices=("local", "beam"),
        default="local",
        help="local: processes of this machine; beam: Apache Beam pipelines, with "
        "Beam's own flags behind it, such as --runner=DirectRunner (default: "
        "%(default)s)",
    )


def choose_engine(
    name: str,
    local: Callable[..., Any],
    load_beam: Callable[[], Callable[..., Any]],
    beam_flags: Sequence[str],
) -> Callable[..., Any]:
    """Makes the engine of this name from a job's files and the rules for them.

    Args:
        name: "local" or "beam".
        local: The local engine's class.
        load_beam: Imports the class of Beam's, which needs Apache Beam.
        beam_flags: Beam's own flags.

    Raises:
        UserError: Apache Beam is not installed.
    """
    if name == "local":
        return local
    require_beam()
    import_tensorflow()
    return functools.partial(load_beam(), flags=beam_flags)


def require_beam() -> None:
    """Fails if Apache Beam is not installed.

    Raises:
        UserError: Tells how to install it.
    """
    if importlib.util.find_spec("apache_beam") is None:
        raise UserError(
            "--engine=beam needs Apache Beam; install it: pip install 'sar-tf[beam]'"
        )
