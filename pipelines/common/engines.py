"""The flag --engine: where a job's work is done."""

import argparse
import importlib.util

from pipelines.common.job import UserError


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


def require_beam() -> None:
    """Fails if Apache Beam is not installed.

    Raises:
        UserError: Tells how to install it.
    """
    if importlib.util.find_spec("apache_beam") is None:
        raise UserError(
            "--engine=beam needs Apache Beam; install it: pip install -e '.[beam]'"
        )
