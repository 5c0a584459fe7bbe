"""The command: python -m pipelines.simulate --output_dir=…"""

import argparse

from pipelines.common import job
from pipelines.simulate import write_logs


def main(argv: list[str] | None = None) -> None:
    """Runs the job with the arguments of a command line."""
    parser = job.argument_parser(
        "simulate", "Writes simulated raw logs in the KuaiSAR layout."
    )
    parser.add_argument(
        "--num_users",
        type=int,
        default=2000,
        help="number of users (default: %(default)s)",
    )
    parser.add_argument(
        "--num_items",
        type=int,
        default=4000,
        help="number of items in the catalogue, at least 400 (default: %(default)s)",
    )
    parser.add_argument(
        "--rows_per_user",
        type=float,
        default=150.0,
        help="mean number of rows of a user in both logs (default: %(default)s)",
    )
    parser.add_argument(
        "--search_share",
        type=float,
        default=0.28,
        help="share of search sessions among search sessions and recommendation "
        "batches; the default gives KuaiSAR's ratio of rows (default: %(default)s)",
    )
    job.run(parser, _run, argv)


def _run(args: argparse.Namespace) -> None:
    flags = vars(args)
    del flags["command"]  # Raw logs do not say how they were made.
    write_logs(**flags)


if __name__ == "__main__":
    main()
