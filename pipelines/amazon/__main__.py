"""The command: python -m pipelines.amazon --reviews=… --metadata=… --output_dir=…"""

import argparse

from pipelines.amazon import build_dataset
from pipelines.common import engines, job
from sar_tf.paths import as_path


def main(argv: list[str] | None = None) -> None:
    """Runs the job with the arguments of a command line."""
    parser = job.argument_parser(
        "amazon",
        "Makes a dataset from Amazon reviews and metadata of 2014, 2018 or 2023; its "
        "searches are made from the items' categories.",
    )
    parser.add_argument(
        "--reviews",
        type=as_path,
        required=True,
        help="file with one review on each line, a JSON object; plain or gzip",
    )
    parser.add_argument(
        "--metadata",
        type=as_path,
        required=True,
        help="file with one item on each line, a JSON object or Python dict with its "
        "categories; plain or gzip",
    )
    job.add_max_bad_fraction(parser)
    job.add_allow_empty_splits(parser)
    engines.add_engine(parser)
    job.run(parser, _run, argv)


def _run(args: argparse.Namespace) -> None:
    build_dataset(**vars(args))


if __name__ == "__main__":
    main()
