"""Tables of the runs of a study: mean and deviation over seeds, t-tests, best values.

    python -m tools.results runs/sweep --against=unisar --output=results

RUN is a folder of a run, or of runs at any depth; NAME=RUN names its method. Without
--output the Markdown is printed. --help lists the flags.
"""

import argparse
from pathlib import Path

from sar_tf.startup import import_tensorflow
from tools.results.flags import add_flags
from tools.results.program import exits_in_one_line

_METRICS = {
    "methods": "NDCG@5,NDCG@10,HR@1,HR@5,HR@10,MRR",
    "metrics": "HR@1,HR@5,HR@10,NDCG@5,NDCG@10",
}


def main(argv: list[str] | None = None) -> None:
    """Runs a command line; an error is one line and the exit status 1."""
    args = make_parser().parse_args(argv)
    with exits_in_one_line("results", args.runs):
        _write(make_texts(args.runs, args), args.output)


def make_texts(arguments, options) -> dict[str, str]:
    """The study's tables.

    Args:
        arguments: As `collect`.
        options: The values of the flags.

    Returns:
        The text of each file: {"results.md": …, "results.tex": …, "results.csv": …}.

    Raises:
        StudyError, ConfigError, DatasetError: The runs make no table.
    """
    from tools.results import layout
    from tools.results.collect import collect
    from tools.results.study import make_note, make_tables

    methods = collect(arguments, options.split)
    tables = make_tables(methods, options, _METRICS[options.rows])
    note = make_note(options)
    settings = (tables, options.rows, options.test, options.level, note)
    return {
        "results.md": layout.markdown(*settings),
        "results.tex": layout.latex(*settings),
        "results.csv": layout.csv_text(tables),
    }


def _write(texts, output):
    from sar_tf.files import write_text

    if output is None:
        print(texts["results.md"], end="")
        return
    Path(output).mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_text(Path(output) / name, text)
        print(Path(output) / name)


def make_parser() -> argparse.ArgumentParser:
    """The parser of all flags."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.results",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_flags(parser)
    add = parser.add_argument
    add(
        "--rows",
        default="methods",
        choices=("methods", "metrics"),
        help="methods: as SESRec's Table 2; metrics: as UniSAR's Tables 3 and 4",
    )
    add("--output", help="folder of results.md, results.tex and results.csv")
    return parser


if __name__ == "__main__":
    import_tensorflow()  # First, so that it prints less.
    main()
