"""The results of a study as sortable tables."""

import math
from collections.abc import Sequence

from tools.report.html import breakable, element, escape, simple_table
from tools.results.layout import BETTER, WORSE
from tools.results.table import Cell, Table, is_significant

TASKS = {"rec": "Recommendation", "search": "Search"}
_PLACES = {0: None, 1: "best", 2: "second"}


def results_table(table: Table, test: str, level: float, number: int) -> str:
    """A table whose columns sort, with the numbers behind a cell at hand.

    Args:
        table: The table.
        test: "target" or "seed": the t-test that the marks are of.
        level: p-value that a significant difference is below.
        number: Number of the table on the page.
    """
    heads = ["Method", *table.metrics]
    cells = "".join(
        element(
            "th",
            element("button", escape(text), type="button"),
            scope="col",
            aria_sort="none",
        )
        for text in heads
    )
    rows = [_published_row(table, *own) for own in table.published.items()]
    rows += [
        _measured_row(table, name, own, test, level)
        for name, own in table.cells.items()
    ]
    title = f"{TASKS[table.task]}, {table.dataset}"
    shown = element(
        "table",
        element("caption", escape(title))
        + element("thead", element("tr", cells))
        + element("tbody", "".join(rows)),
        class_="results",
        id=f"table-{number}",
    )
    numbers = simple_table(_numbers(table), f"All numbers: {title}", 1000)
    return element(
        "div", shown, class_="scroll", tabindex="0", role="region", aria_label=title
    ) + element(
        "details", element("summary", "Each seed, differences and p-values") + numbers
    )


def _published_row(table, name, values):
    cells = element("th", breakable(name), scope="row", data_sort=name)
    for metric in table.metrics:
        known = metric in values
        cells += element(
            "td",
            f"{values[metric]:.4f}" if known else "-",
            data_sort=values[metric] if known else -1,
            data_tip=f"{name}\n{metric}\nprinted in the paper" if known else None,
        )
    return element("tr", cells, class_="published")


def _measured_row(table, name, cells, test, level):
    own = element("th", breakable(name), scope="row", data_sort=name)
    for metric in table.metrics:
        own += _measured_cell(name, metric, cells[metric], test, level)
    return element("tr", own)


def _measured_cell(name, metric, cell: Cell, test, level):
    text = f"{cell.mean:.4f}"
    mark = ""
    if cell.tests and is_significant(cell.tests[test], level):
        mark = BETTER if cell.tests[test].difference > 0 else WORSE
    text = element("span", text, class_="value")
    text += element("span", mark, class_="mark")
    if cell.seeds > 1:
        text += element("span", f"± {cell.deviation:.4f}", class_="deviation")
    lines = [name, f"{metric} {cell.mean:.4f}"]
    listed = ", ".join(f"{value:.4f}" for value in cell.values)
    if cell.seeds > 1:
        lines.append(f"± {cell.deviation:.4f} over {cell.seeds} seeds: {listed}")
    else:
        lines.append("one seed")
    for kind, one in cell.tests.items():
        lines.append(
            f"{one.difference:+.4f} by {kind}, p {_p(one.p)}, {one.pairs:,} pairs"
        )
    return element(
        "td",
        text,
        class_=_PLACES[cell.place],
        data_sort=cell.mean,
        data_tip="\n".join(lines),
    )


def _p(p):
    if math.isnan(p):
        return "-"
    return "< 0.0001" if p < 1e-4 else f"= {p:.4f}"


def _numbers(table):
    tested = any(c.tests for own in table.cells.values() for c in own.values())
    head = ["method", "metric", "mean", "deviation", "of each seed"]
    if tested:
        head += ["difference", "p by target", "p by seed"]
    rows: list[list] = [head]
    for name, cells in table.cells.items():
        for metric, cell in cells.items():
            deviation = f"{cell.deviation:.4f}" if cell.seeds > 1 else "-"
            listed = ", ".join(f"{value:.4f}" for value in cell.values)
            row = [name, metric, f"{cell.mean:.4f}", deviation, listed]
            if tested:
                row += ["-"] * 3
            if cell.tests:
                by_target, by_seed = cell.tests["target"], cell.tests["seed"]
                row[-3:] = [
                    f"{by_target.difference:+.4f}",
                    _p(by_target.p).removeprefix("= "),
                    _p(by_seed.p).removeprefix("= "),
                ]
            rows.append(row)
    return rows


def summary(tables: Sequence[Table]) -> str:
    """A card for each table: its best method by the first metric, and by how much."""
    cards = []
    for table in tables:
        metric = table.metrics[0]
        means = {name: cells[metric].mean for name, cells in table.cells.items()}
        if not means:
            continue
        best, *others = sorted(means, key=lambda name: -means[name])
        text = element("span", escape(f"{TASKS[table.task]}, {table.dataset}"))
        text += element("strong", f"{means[best]:.4f}")
        text += element("span", escape(f"{metric}, {best}"))
        if others:
            second = others[0]
            gap = means[best] - means[second]
            text += element("span", escape(f"{gap:.4f} above the next, {second}"))
        cards.append(element("li", text))
    caution = ""
    cells = [cell for t in tables for own in t.cells.values() for cell in own.values()]
    if any(cell.seeds == 1 for cell in cells):
        caution = element(
            "p",
            "Some methods have one seed. Another seed can turn small differences "
            "around.",
            class_="caution",
        )
    return element("ul", "".join(cards), class_="cards") + caution
