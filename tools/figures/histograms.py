"""Histograms of several methods, a panel for each thing that is compared."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tools.figures.style import STYLES


@dataclasses.dataclass(frozen=True)
class Histogram:
    """How often values fall between edges.

    Attributes:
        panel: What is compared; its panel's title.
        name: Whose values they are.
        edges: `(bins + 1,)`, ascending.
        counts: `(bins,)`.
        mean: Mean of the values; NaN without any.
    """

    panel: str
    name: str
    edges: np.ndarray
    counts: np.ndarray
    mean: float

    @property
    def shares(self) -> np.ndarray:
        """The share of the values in each bin, `(bins,)`."""
        return self.counts / max(int(self.counts.sum()), 1)


def make_histogram(
    panel: str, name: str, values: np.ndarray, low: float, high: float, bins: int = 40
) -> Histogram:
    """The histogram of values; those beyond an edge by rounding are at the edge.

    Args:
        panel, name: As in `Histogram`.
        values: `(number,)`, between low and high.
        low, high: The outermost edges.
        bins: Number of bins; a value at an edge belongs to the upper one.
    """
    values = np.clip(np.asarray(values, np.float64), low, high)
    counts, edges = np.histogram(values, bins=bins, range=(low, high))
    mean = float(values.mean()) if len(values) else float("nan")
    return Histogram(panel, name, edges, counts, mean)


def csv_rows(histograms: Sequence[Histogram]) -> list[list]:
    """The numbers of the figure, the head first."""
    rows: list[list] = [
        ["panel", "name", "from", "to", "count", "share", "mean_of_all"]
    ]
    for one in histograms:
        columns = (one.edges[:-1], one.edges[1:], one.counts, one.shares)
        lists = [np.round(column, 10).tolist() for column in columns]
        rows += [
            [one.panel, one.name, *row, one.mean] for row in zip(*lists, strict=True)
        ]
    return rows


def draw(figure, histograms: Sequence[Histogram], value: str, unit: str) -> None:
    """Draws outlines in a panel for each comparison, all on one scale.

    Args:
        figure: matplotlib's figure.
        histograms: The histograms.
        value: What is counted, for the horizontal axis.
        unit: What has the value, for the vertical axis: "users".
    """
    titles = list(dict.fromkeys(one.panel for one in histograms))
    names = list(dict.fromkeys(one.name for one in histograms))
    panels = figure.subplots(1, len(titles), squeeze=False, sharey=True)[0]
    for panel, title in zip(panels, titles, strict=True):
        for one in (one for one in histograms if one.panel == title):
            style = STYLES[names.index(one.name) % len(STYLES)]
            color, dashes = style["color"], style["linestyle"]
            label = f"{one.name} (mean {one.mean:.2f})"
            shares = 100 * one.shares
            panel.stairs(shares, one.edges, color=color, fill=True, alpha=0.15)
            panel.stairs(
                shares,
                one.edges,
                color=color,
                linestyle=dashes,
                linewidth=1.6,
                label=label,
            )
            if np.isfinite(one.mean):
                # The legend is above the lines.
                panel.axvline(
                    one.mean,
                    ymax=0.78,
                    color=color,
                    linestyle=dashes,
                    linewidth=0.8,
                )
        panel.set_xlabel(value)
        panel.set_title(title, fontsize=10)
        panel.legend(frameon=False, fontsize=8, loc="upper left")
        panel.margins(y=0.3)
    panels[0].set_ylabel(f"{unit} (%)")
