"""Writes a study as one HTML page: its tables, learning curves, figures and runs.

    python -m tools.report runs/table5 --against=UniSAR --figures=figures \\
        --output=report.html

RUN is a folder of a run, or of runs at any depth; NAME=RUN names its method. The page
needs no network and no other file.
"""

import argparse
from pathlib import Path

from sar_tf.startup import import_tensorflow
from tools.results.flags import add_flags
from tools.results.program import exits_in_one_line


def main(argv: list[str] | None = None) -> None:
    """Runs a command line; an error is one line and the exit status 1."""
    args = make_parser().parse_args(argv)
    with exits_in_one_line("report", args.runs):
        from sar_tf.files import write_text
        from tools.report.page import make_page

        text = make_page(args.runs, args)
        Path(args.output).parent.mkdir(parents=True, exist_ok=True)
        write_text(args.output, text)
    print(args.output)


def make_parser() -> argparse.ArgumentParser:
    """The parser of all flags."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_flags(parser)
    add = parser.add_argument
    add("--figures", help="a folder of figures, as tools.figures writes them")
    add(
        "--columns",
        help="columns of history.csv, separated by commas (val_rec_NDCG@5, "
        "val_search_NDCG@5 and click_loss, as far as runs have them)",
    )
    add("--title", default="Results of a study", help="heading (Results of a study)")
    add("--note", default="", help="a sentence below the heading, as what it is about")
    add("--output", default="report.html", help="the page (report.html)")
    return parser


if __name__ == "__main__":
    import_tensorflow()  # First, so that it prints less.
    main()
