"""Draws the figures of a study as PNG and SVG, with their numbers as CSV.

    python -m tools.figures --kind=learning_curves --output=figures runs/table5

RUN is a folder of a run, or of runs at any depth, as for tools.results. Needs
pip install -e ".[study]".
"""

import csv
import sys
from pathlib import Path

from absl import app, flags

from sar_tf.startup import import_tensorflow


def main(argv):
    from sar_tf.files import WriteError
    from sar_tf.training.config import ConfigError
    from sar_tf.training.run_directory import RunDirectoryError
    from tools.results.collect import StudyError

    try:
        if len(argv) < 2:
            raise StudyError("name one run or more: python -m tools.figures RUN …")
        paths = learning_curves(
            argv[1:], flags.FLAGS.columns.split(","), flags.FLAGS.output
        )
    except (ConfigError, RunDirectoryError, StudyError, WriteError) as error:
        sys.exit(f"figures: {error}")
    print("\n".join(map(str, paths)))


def learning_curves(arguments, columns, output) -> list[Path]:
    """Draws columns of history.csv over the epochs.

    Args:
        arguments: As `tools.results.collect.collect`.
        columns: Columns of history.csv.
        output: Folder of the files.

    Returns:
        The PNG, the SVG and the CSV.

    Raises:
        StudyError: matplotlib or a column is missing, or the folders hold no run.
    """
    from sar_tf.files import whole_file
    from tools.figures import curves
    from tools.results.collect import StudyError, collect

    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise StudyError('a figure needs matplotlib: pip install -e ".[study]"') from (
            error
        )
    found = curves.make_curves(collect(arguments, "validation"), columns)
    figure = Figure(figsize=(4.5 * len(columns), 3.5), layout="constrained")
    curves.draw(figure, found)
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"learning_curves.{kind}" for kind in ("png", "svg", "csv")]
    for path in paths[:2]:
        with whole_file(path) as beside:
            figure.savefig(beside, format=path.suffix[1:], dpi=200)
    with (
        whole_file(paths[2]) as beside,
        open(beside, "w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows(curves.csv_rows(found))
    return paths


if __name__ == "__main__":
    import_tensorflow()  # First, so that it prints less.
    flags.DEFINE_enum("kind", "learning_curves", ("learning_curves",), "the figure")
    flags.DEFINE_string(
        "columns", "val_NDCG@5,loss", "columns of history.csv, separated by commas"
    )
    flags.DEFINE_string("output", "figures", "folder of the files")
    app.run(main)
