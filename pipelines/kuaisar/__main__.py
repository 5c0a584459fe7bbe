"""The command: python -m pipelines.kuaisar --input_dir=… --output_dir=…"""

import argparse

from pipelines.common import engines, job
from pipelines.kuaisar import build_dataset
from sar_tf.paths import as_path


def main(argv: list[str] | None = None) -> None:
    """Runs the job with the arguments of a command line."""
    parser = job.argument_parser(
        "kuaisar", "Makes a dataset from KuaiSAR's logs (full set or KuaiSAR-small)."
    )
    parser.add_argument(
        "--input_dir",
        type=as_path,
        required=True,
        help="folder with rec_inter.csv, src_inter.csv, item_features.csv and "
        "user_features.csv",
    )
    job.add_max_bad_fraction(parser)
    job.add_allow_empty_splits(parser)
    engines.add_engine(parser)
    job.run(parser, _run, argv)


def _run(args: argparse.Namespace) -> None:
    build_dataset(**vars(args))


if __name__ == "__main__":
    main()
