"""How figures look, and how they are written: PNG, SVG, and their numbers as CSV."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sar_tf.files import whole_file
from tools.results.collect import StudyError

# Okabe and Ito's colours, which the colour-blind tell apart; dashes and marks serve
# print without colour.
STYLES = [
    {"color": color, "linestyle": dashes, "marker": mark, "markersize": 4}
    for color, dashes, mark in (
        ("#0072B2", "-", "o"),
        ("#D55E00", "--", "s"),
        ("#009E73", "-.", "^"),
        ("#CC79A7", ":", "D"),
        ("#E69F00", "-", "v"),
        ("#56B4E9", "--", "x"),
        ("#000000", "-.", "+"),
    )
]
HATCHES = ("", "///", "...", "\\\\\\", "xx", "--", "++")


def new_figure(panels: int, width: float = 4.0, height: float = 3.5) -> Any:
    """An empty matplotlib figure.

    Args:
        panels: Number of panels, side by side.
        width, height: Of a panel, in inches.

    Raises:
        StudyError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise StudyError('a figure needs matplotlib: pip install -e ".[study]"') from (
            error
        )
    return Figure(figsize=(width * panels, height), layout="constrained")


def save(figure: Any, rows: Sequence[Sequence], output: str, name: str) -> list[Path]:
    """Writes a figure and its numbers.

    The same figure gives the same files.

    Args:
        figure: matplotlib's figure.
        rows: The numbers, the head first.
        output: The folder; it is made.
        name: Name of the files, without a suffix.

    Returns:
        The PNG, the SVG and the CSV.

    Raises:
        WriteError: A file cannot be written.
    """
    from matplotlib import rc_context

    for panel in figure.axes:
        panel.spines[["top", "right"]].set_visible(False)
        panel.set_axisbelow(True)
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    png, svg, numbers = (folder / f"{name}.{kind}" for kind in ("png", "svg", "csv"))
    with whole_file(png) as beside:
        figure.savefig(beside, format="png", dpi=200)
    with whole_file(svg) as beside, rc_context({"svg.hashsalt": name}):
        figure.savefig(beside, format="svg", metadata={"Date": None})
    with (
        whole_file(numbers) as beside,
        open(beside, "w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows(rows)
    return [png, svg, numbers]
