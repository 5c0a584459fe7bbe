"""The flags of a study's tables, which its tables and its report share."""

import argparse


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the runs, and what a table is of and tested for."""
    add = parser.add_argument
    add("runs", nargs="*", metavar="RUN", help="a folder, or NAME=FOLDER")
    add(
        "--split",
        default="test",
        choices=("test", "validation"),
        help="split that is ranked (test)",
    )
    add("--against", help="method that the others are tested against")
    add(
        "--test",
        default="target",
        choices=("target", "seed"),
        help="pairs of the marked t-test (target)",
    )
    add(
        "--level",
        type=float,
        default=0.01,
        help="p-value of a significant difference (0.01)",
    )
    add("--metrics", help="metrics, separated by commas")
