"""Learning curves as SVG that tells its values to the pointer and the keyboard."""

import json
import math
from collections.abc import Mapping, Sequence

import numpy as np

from tools.figures.curves import Curve
from tools.report.html import element, escape

WIDTH, HEIGHT = 380, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 12, 40
_DASHES = ("", "7 4", "2 3", "9 3 2 3")
COLORS = 7  # Of page.css: --line-0 and on.


def line_style(number: int) -> tuple[int, str]:
    """The colour and the dashes of a method's line; the first 28 methods differ."""
    turn, color = divmod(number, COLORS)
    return color, _DASHES[(color + turn) % len(_DASHES)]


def column_title(column: str) -> str:
    """What a column of history.csv holds, in words.

    Example:

    >>> column_title("val_search_NDCG@5")
    'Validation, search: NDCG@5'
    """
    parts = ["Training"]
    if column.startswith("val_"):
        parts, column = ["Validation"], column.removeprefix("val_")
    for task, words in (("rec", "recommendation"), ("search", "search")):
        if column.startswith(f"{task}_"):
            parts.append(words)
            column = column.removeprefix(f"{task}_")
    return f"{', '.join(parts)}: {column.replace('_', ' ')}"


def legend(names: Sequence[str]) -> str:
    """Buttons that hide and show a method's lines in all charts."""
    buttons = []
    for number, name in enumerate(names):
        sample = _line("0,6 28,6", number)
        svg = element(
            "svg", sample, viewBox="0 0 28 12", width=28, height=12, aria_hidden="true"
        )
        buttons.append(
            element(
                "button",
                svg + escape(name),
                type="button",
                aria_pressed="true",
                data_series=number,
            )
        )
    return element(
        "div",
        "".join(buttons),
        class_="legend",
        role="group",
        aria_label="Methods shown in the charts",
    )


def line_chart(column: str, curves: Sequence[Curve], numbers: Mapping[str, int]) -> str:
    """A chart of one column of history.csv.

    Args:
        column: The column.
        curves: Its curves, of different methods.
        numbers: {method: its number}, which gives its line's style.
    """
    title = column_title(column)
    last = max(int(curve.epochs[-1]) for curve in curves)
    low = min(float(curve.low.min()) for curve in curves)
    high = max(float(curve.high.max()) for curve in curves)
    ticks = nice_ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])

    def x(epoch):
        return _LEFT + (epoch - 1) / max(last - 1, 1) * (WIDTH - _LEFT - _RIGHT)

    def y(value):
        share = (value - low) / ((high - low) or 1.0)
        return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)

    parts = [_axes(ticks, last, x, y)]
    series = []
    for curve in curves:
        number = numbers[curve.method]
        parts.append(_curve(curve, number, x, y))
        series.append(
            {
                "name": curve.method,
                "series": number,
                "values": [round(float(v), 6) for v in curve.mean],
                "places": [round(y(float(v)), 1) for v in curve.mean],
                "seeds": [int(n) for n in curve.seeds],
            }
        )
    parts.append(
        f'<line class="cursor" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}" hidden></line>'
    )
    about = {"places": [round(x(e), 1) for e in range(1, last + 1)], "series": series}
    svg = element(
        "svg",
        "".join(parts),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        tabindex="0",
        aria_label=f"{title} over {last} epochs. The arrow keys tell the values.",
        data_chart=json.dumps(about),
    )
    return element("figure", element("figcaption", escape(title)) + svg, class_="chart")


def _axes(ticks, last, x, y):
    parts = []
    for tick in ticks:
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" '
            f'y1="{y(tick):.1f}" y2="{y(tick):.1f}"></line>'
            f'<text x="{_LEFT - 7}" y="{y(tick) + 4:.1f}" text-anchor="end">'
            f"{tick:.4g}</text>"
        )
    step = max(1, math.ceil(last / 8))
    for epoch in range(1, last + 1, step):
        parts.append(
            f'<text x="{x(epoch):.1f}" y="{HEIGHT - _BOTTOM + 17}" '
            f'text-anchor="middle">{epoch}</text>'
        )
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{HEIGHT - 5}" text-anchor="middle">epoch</text>'
    )
    return "".join(parts)


def _curve(curve, number, x, y):
    xs = [x(epoch) for epoch in curve.epochs.tolist()]
    ys = [y(value) for value in curve.mean.tolist()]
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(xs, ys, strict=True))
    content = ""
    if np.any(curve.high > curve.low):
        upper = [(a, y(v)) for a, v in zip(xs, curve.high.tolist(), strict=True)]
        lower = [(a, y(v)) for a, v in zip(xs, curve.low.tolist(), strict=True)]
        edge = " ".join(f"{a:.1f},{b:.1f}" for a, b in upper + lower[::-1])
        color, _ = line_style(number)
        content += (
            f'<polygon points="{edge}" style="fill:var(--line-{color})"></polygon>'
        )
    content += _line(points, number)
    content += f'<circle r="3.5" cx="{xs[-1]:.1f}" cy="{ys[-1]:.1f}" '
    content += f'style="fill:var(--line-{line_style(number)[0]})"></circle>'
    return element("g", content, class_="series", data_series=number)


def _line(points, number):
    color, dashes = line_style(number)
    return (
        f'<polyline points="{points}" style="stroke:var(--line-{color})" '
        f'stroke-dasharray="{dashes or "none"}"></polyline>'
    )


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from below `low` to above `high`, at even distances.

    Args:
        low, high: The range; it may be empty.
        most: About the most distances between them.

    Example:

    >>> nice_ticks(0.12, 0.31)
    [0.1, 0.15, 0.2, 0.25, 0.3, 0.35]
    """
    span = (high - low) or abs(high) or 1.0
    rough = span / (most - 1)
    unit = 10.0 ** math.floor(math.log10(rough))
    step = unit * next((k for k in (1, 2, 2.5, 5) if k * unit >= rough), 10)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * place, 12) for place in range(first, last + 1)]
