"""Draws the figures of a study as PNG and SVG, with their numbers as CSV.

    python -m tools.figures --kind=learning_curves --output=figures runs/table5
    python -m tools.figures --kind=effects --setting=query_item_weight \\
        --output=figures runs/alpha
    python -m tools.figures --kind=predecessors --output=figures data/kuaisar
    python -m tools.figures --kind=similarities --output=figures \\
        "with=runs/unisar" "without=runs/unisar_without_L_Align"

RUN is a folder of a run, or of runs at any depth, as for tools.results; NAME=RUN names
its method. Needs pip install -e ".[study]".
"""

import argparse

from sar_tf.startup import import_tensorflow
from tools.arguments import positive
from tools.results.program import exits_in_one_line

KINDS = {
    "learning_curves": "columns of history.csv over the epochs",
    "effects": "metrics against a setting: UniSAR's Figures 7 and 8, SESRec's Figure 5",
    "predecessors": "UniSAR's Figure 2, of a dataset: RUN is its folder",
    "similarities": "UniSAR's Figure 5",
    "tsne": "UniSAR's Figure 6",
    "interests": "SESRec's Figure 3",
    "query_items": "SESRec's Figure 4",
}


def main(argv: list[str] | None = None) -> None:
    """Runs a command line; an error is one line and the exit status 1."""
    args = make_parser().parse_args(argv)
    with exits_in_one_line("figures", args.runs):
        from tools.figures.kinds import DRAW

        paths = DRAW[args.kind](args.runs, args)
    print("\n".join(map(str, paths)))


def make_parser() -> argparse.ArgumentParser:
    """The parser of all flags."""
    kinds = "\n".join(f"  {name:16} {text}" for name, text in KINDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tools.figures",
        description=__doc__,
        epilog=f"kinds:\n{kinds}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("runs", nargs="*", metavar="RUN", help="a folder, or NAME=FOLDER")
    add(
        "--kind",
        default="learning_curves",
        choices=tuple(KINDS),
        help="the figure (learning_curves)",
    )
    add(
        "--columns",
        default="val_NDCG@5,loss",
        help="learning_curves: columns of history.csv, separated by commas "
        "(val_NDCG@5,loss)",
    )
    add("--setting", help="effects: the setting that varies")
    add(
        "--metrics",
        default="NDCG@5",
        help="effects: metrics, separated by commas (NDCG@5)",
    )
    add(
        "--split",
        default="test",
        choices=("test", "validation"),
        help="effects: split that is ranked (test)",
    )
    add(
        "--category",
        help="predecessors, interests: the feature of items that is their category, "
        "or query: the queries that items are clicked for (the first feature with "
        "category in its name, else query)",
    )
    add(
        "--users",
        type=positive,
        help="similarities, tsne, interests: the most users (5000; tsne 500)",
    )
    add(
        "--pairs",
        type=positive,
        help="query_items: the most pairs (20000)",
    )
    add("--output", default="figures", help="folder of the files (figures)")
    return parser


if __name__ == "__main__":
    import_tensorflow()  # First, so that it prints less.
    main()
