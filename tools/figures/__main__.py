"""Draws the figures of a study as PNG and SVG, with their numbers as CSV.

    python -m tools.figures --kind=learning_curves --output=figures runs/table5
    python -m tools.figures --kind=effects --setting=query_item_weight \\
        --output=figures runs/alpha

RUN is a folder of a run, or of runs at any depth, as for tools.results. Needs
pip install -e ".[study]".
"""

import argparse
import csv
import sys
from pathlib import Path

from sar_tf.startup import import_tensorflow


def main(argv: list[str] | None = None) -> None:
    """Runs a command line; an error is one line and the exit status 1."""
    from sar_tf.files import WriteError
    from sar_tf.training.config import ConfigError
    from sar_tf.training.run_directory import RunDirectoryError
    from tools.results.collect import StudyError

    args = make_parser().parse_args(argv)
    try:
        if not args.runs:
            raise StudyError("name one run or more: python -m tools.figures RUN …")
        paths = DRAW[args.kind](args.runs, args)
    except (ConfigError, RunDirectoryError, StudyError, WriteError) as error:
        sys.exit(f"figures: {error}")
    print("\n".join(map(str, paths)))


def learning_curves(arguments, options) -> list[Path]:
    """Draws columns of history.csv over the epochs.

    Args:
        arguments: As `tools.results.collect.collect`.
        options: The values of the flags.

    Returns:
        The PNG, the SVG and the CSV.

    Raises:
        StudyError: matplotlib or a column is missing, or the folders hold no run.
    """
    from tools.figures import curves
    from tools.results.collect import collect

    columns = options.columns.split(",")
    figure = _figure(len(columns))
    found = curves.make_curves(collect(arguments, options.split), columns)
    curves.draw(figure, found)
    return _save(figure, curves.csv_rows(found), options.output, "learning_curves")


def effects(arguments, options) -> list[Path]:
    """Draws metrics against a setting: Figures 7 and 8 of UniSAR, Figure 5 of SESRec.

    Arguments, result and errors as `learning_curves`.
    """
    from tools.figures import effects
    from tools.results.collect import StudyError, collect

    if options.setting is None:
        raise StudyError("--setting is missing: name a setting, as query_item_weight")
    metrics = options.metrics.split(",")
    found = effects.make_effects(
        collect(arguments, options.split), options.setting, metrics
    )
    figure = _figure(len(found))
    effects.draw(figure, found, options.setting)
    rows = effects.csv_rows(found, options.setting)
    return _save(figure, rows, options.output, f"effects_{options.setting}")


DRAW = {"learning_curves": learning_curves, "effects": effects}


def _figure(panels):
    from tools.results.collect import StudyError

    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise StudyError('a figure needs matplotlib: pip install -e ".[study]"') from (
            error
        )
    return Figure(figsize=(4 * panels, 3.5), layout="constrained")


def _save(figure, rows, output, name):
    from sar_tf.files import whole_file

    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{kind}" for kind in ("png", "svg", "csv")]
    for path in paths[:2]:
        with whole_file(path) as beside:
            figure.savefig(beside, format=path.suffix[1:], dpi=200)
    with (
        whole_file(paths[2]) as beside,
        open(beside, "w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows(rows)
    return paths


def make_parser() -> argparse.ArgumentParser:
    """The parser of all flags."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.figures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("runs", nargs="*", metavar="RUN", help="a folder, or NAME=FOLDER")
    add(
        "--kind",
        default="learning_curves",
        choices=tuple(DRAW),
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
    add("--output", default="figures", help="folder of the files (figures)")
    return parser


if __name__ == "__main__":
    import_tensorflow()  # First, so that it prints less.
    main()
