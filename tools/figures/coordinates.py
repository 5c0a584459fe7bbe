"""Parallel coordinates: the settings of a search's trials, and what each trial gave."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

_COLOURS = "cividis"  # From dark to light for all eyes, and in print.
_BEST = "#D55E00"


@dataclasses.dataclass(frozen=True)
class Axis:
    """One setting.

    Attributes:
        name: Its name.
        texts: The values of a list, from the lowest place to the highest; empty where
            it is a range.
        low, high: The ends of a range.
        is_log: Whether a range has a logarithmic scale.
    """

    name: str
    texts: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1.0
    is_log: bool = False

    def place(self, text: str) -> float:
        """The height of a value, from 0 to 1.

        Example:

        >>> number_axis("l2", ("1e-6", "1e-4"), is_log=True).place("1e-5")
        0.5
        """
        if self.texts:
            return self.texts.index(text) / max(1, len(self.texts) - 1)
        low, value, high = self.low, float(text), self.high
        if self.is_log:
            low, value, high = (math.log10(each) for each in (low, value, high))
        return round((value - low) / (high - low), 9)


@dataclasses.dataclass(frozen=True)
class Line:
    """One trial.

    Attributes:
        name: Its name.
        texts: The values, one for each axis.
        score: The objective; more is better.
    """

    name: str
    texts: Sequence[str]
    score: float


def list_axis(name: str, texts: Sequence[str]) -> Axis:
    """The axis of a list of values: at even distances, numbers in their order."""
    try:
        return Axis(name, tuple(sorted(texts, key=float)))
    except ValueError:
        return Axis(name, tuple(texts))


def number_axis(name: str, ends: Sequence[str], is_log: bool = False) -> Axis:
    """The axis of a range of numbers."""
    low, high = map(float, ends)
    return Axis(name, low=low, high=high, is_log=is_log)


def csv_rows(axes: Sequence[Axis], lines: Sequence[Line], objective: str) -> list[list]:
    """The numbers of the figure, the head first and the best trial next."""
    rows: list[list] = [["trial", *(axis.name for axis in axes), objective]]
    for line in sorted(lines, key=lambda line: -line.score):
        rows.append([line.name, *line.texts, line.score])
    return rows


def draw(
    figure: Any, axes: Sequence[Axis], lines: Sequence[Line], objective: str
) -> None:
    """Draws an upright axis for each setting and for the objective, a line a trial.

    The lighter a line, the higher its objective; the best one is thick and red. Lines
    of one value are drawn a little apart at it, so that none hides another.

    Args:
        figure: matplotlib's figure.
        axes: The settings.
        lines: The trials.
        objective: Name of the last axis.
    """
    from matplotlib import colormaps

    panel = figure.subplots()
    scores = [line.score for line in lines]
    low, high = min(scores), max(scores)
    span = (high - low) or 1.0
    best = scores.index(high)
    for index in sorted(range(len(lines)), key=lambda i: (i == best, scores[i])):
        line = lines[index]
        shift = 0.03 * ((index + 0.5) / len(lines) - 0.5)
        places = [
            axis.place(text) + (shift if axis.texts else 0.0)
            for axis, text in zip(axes, line.texts, strict=True)
        ]
        share = (line.score - low) / span if high > low else 0.5
        is_best = index == best
        panel.plot(
            range(len(axes) + 1),
            [*places, share],
            # The lightest tenth is too pale for paper.
            color=_BEST if is_best else colormaps[_COLOURS](0.9 * share),
            linewidth=2.5 if is_best else 1.2,
            marker="o" if is_best else None,
            label=f"best: {line.name}, {objective} {line.score:.4f}"
            if is_best
            else None,
        )
    for position, axis in enumerate(axes):
        _draw_axis(panel, position, _ticks(axis))
    ends = (
        [(0.0, f"{low:.4f}"), (1.0, f"{high:.4f}")]
        if high > low
        else [(0.5, f"{low:.4f}")]
    )
    _draw_axis(panel, len(axes), ends)
    panel.set_xticks(
        range(len(axes) + 1), [*(_short(axis.name) for axis in axes), objective]
    )
    panel.set_xlim(-0.2, len(axes) + 0.5)
    panel.set_ylim(-0.05, 1.05)
    panel.set_yticks([])
    panel.spines[["left", "bottom"]].set_visible(False)
    panel.tick_params(axis="x", length=0)
    figure.legend(loc="outside upper left", frameon=False)


def _ticks(axis):
    if axis.texts:
        return [(axis.place(text), text) for text in axis.texts]
    middle = (
        math.sqrt(axis.low * axis.high) if axis.is_log else (axis.low + axis.high) / 2
    )
    return [(axis.place(str(v)), f"{v:.3g}") for v in (axis.low, middle, axis.high)]


def _draw_axis(panel, position, ticks):
    panel.axvline(position, color="#666666", linewidth=0.8, zorder=0)
    for place, text in ticks:
        panel.annotate(
            text,
            (position, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
        )


def _short(name):
    """The name without its model, on lines short enough for its axis."""
    return name.rpartition(".")[2].replace("_", "\n")
