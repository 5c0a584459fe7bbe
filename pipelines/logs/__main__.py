"""The command: python -m pipelines.logs --config=shop.toml --output_dir=…"""

import argparse
import sys

from pipelines.common import engines, job
from pipelines.logs.build import build_dataset
from pipelines.logs.describe import describe
from pipelines.logs.settings import make_settings, read_toml, setting_types
from sar_tf.paths import as_path


def main(argv: list[str] | None = None) -> None:
    """Runs the job with the arguments of a command line."""
    parser = job.argument_parser(
        "logs",
        "Makes a dataset from your own tables of events, items and users: CSV, TSV, "
        "JSON lines or Parquet. A column without a flag is found by its usual name.",
        needs_output=False,
    )
    parser.add_argument(
        "--config", type=as_path, help="TOML file with any of the settings below"
    )
    parser.add_argument(
        "--describe",
        type=as_path,
        metavar="TOML",
        help="only print what the first rows look like, and write all settings to "
        "this file",
    )
    for name, field in setting_types().items():
        default = field.default if isinstance(field.default, str | int) else ""
        help_text = field.metadata["help"] + (
            f" (default: {default})" * (default != "")
        )
        parser.add_argument(f"--{name}", help=help_text.replace("%", "%%"))
    job.add_max_bad_fraction(parser)
    job.add_allow_empty_splits(parser)
    engines.add_engine(parser)
    job.run(parser, _run, argv)


def _run(args: argparse.Namespace) -> None:
    given = vars(args)
    values = read_toml(args.config) if args.config else {}
    values |= {n: given[n] for n in setting_types() if given[n] is not None}
    settings = make_settings(values)
    if args.describe:
        if args.describe.exists():
            raise job.UserError(f"--describe {args.describe} exists; name another file")
        print(describe(settings, args.describe))
        return
    if args.output_dir is None:
        raise job.UserError("--output_dir is missing; or use --describe")
    build_dataset(
        args.output_dir,
        settings=settings,
        seed=args.seed,
        max_bad_fraction=args.max_bad_fraction,
        allow_empty_splits=args.allow_empty_splits,
        command=args.command,
        engine=args.engine,
        beam_flags=getattr(args, "beam_flags", ()),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
