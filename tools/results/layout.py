"""Tables as Markdown, LaTeX and CSV."""

import csv
import io
import math
from collections.abc import Callable, Sequence

from tools.results.table import Cell, Table, is_significant

_TASKS = {"rec": "recommendation", "search": "search"}
_MARKDOWN = {1: "**{}**", 2: "<u>{}</u>", 0: "{}"}
_LATEX = {1: r"\textbf{{{}}}", 2: r"\underline{{{}}}", 0: "{}"}
_COLUMNS = (
    "dataset",
    "task",
    "method",
    "metric",
    "source",
    "mean",
    "deviation",
    "seeds",
    "place",
)
BETTER, WORSE = "*", "†"


def grid(
    table: Table,
    write: Callable[[Cell], str],
    rows: str = "methods",
) -> list[list[str]]:
    """A table as rows of texts, the head first.

    Args:
        table: The table.
        write: The text of a cell.
        rows: "methods", as Table 2 of SESRec, or "metrics", as Tables 3 and 4 of
            UniSAR.
    """
    lines = [["Method", *table.metrics]]
    for name, values in table.published.items():
        texts = [f"{values[m]:.4f}" if m in values else "" for m in table.metrics]
        lines.append([name, *texts])
    for name, cells in table.cells.items():
        lines.append([name, *(write(cells[metric]) for metric in table.metrics)])
    if rows == "methods":
        return lines
    turned = [list(column) for column in zip(*lines, strict=True)]
    turned[0][0] = "Metric"
    return turned


def markdown(
    tables: Sequence[Table], rows: str, test: str, level: float, note: str
) -> str:
    """Tables in Markdown: the best value bold, the second underlined.

    Args:
        tables: The tables.
        rows: As `grid`.
        test: "target" or "seed": the t-test that the marks are of.
        level: p-value that a significant difference is below.
        note: Lines below the tables.
    """
    parts = []
    for table in tables:
        head, *body = grid(table, _writer(_MARKDOWN, " ± ", test, level), rows)
        escaped = [[text.replace("|", r"\|") for text in row] for row in (head, *body)]
        lines = [f"| {' | '.join(row)} |" for row in escaped]
        lines.insert(1, "| --- |" + " ---: |" * (len(head) - 1))
        parts.append(f"**{_title(table)}**\n\n" + "\n".join(lines))
    return "\n\n".join([*parts, note]) + "\n"


def latex(
    tables: Sequence[Table], rows: str, test: str, level: float, note: str
) -> str:
    """Tables in LaTeX, which need the package booktabs; arguments as `markdown`."""
    parts = []
    for table in tables:
        write = _writer(_LATEX, r" $\pm$ ", test, level)
        head, *body = grid(table, write, rows)
        lines = [
            r"\begin{table}",
            rf"\caption{{{_escaped(f'{_title(table)}. {note}')}}}",
            rf"\begin{{tabular}}{{l{'c' * (len(head) - 1)}}}",
            r"\toprule",
            " & ".join(map(_escaped, head)) + r" \\",
            r"\midrule",
            *(" & ".join([_escaped(name), *texts]) + r" \\" for name, *texts in body),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
        parts.append(
            "\n".join(lines).replace(WORSE, r"$^\dagger$").replace("±", r"$\pm$")
        )
    return "\n\n".join(parts) + "\n"


def csv_text(tables: Sequence[Table]) -> str:
    """One line a dataset, task, method and metric, with both t-tests."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    tests = [f"{kind}_{value}" for kind in ("target", "seed") for value in _TEST]
    writer.writerow([*_COLUMNS, *tests])
    for table in tables:
        own = [table.dataset, table.task]
        for name, values in table.published.items():
            for metric in (m for m in table.metrics if m in values):
                rest = [""] * (3 + len(tests))
                writer.writerow(
                    [*own, name, metric, "published", values[metric], *rest]
                )
        for name, cells in table.cells.items():
            for metric, cell in cells.items():
                numbers = [
                    getattr(cell.tests[kind], value) if kind in cell.tests else ""
                    for kind in ("target", "seed")
                    for value in _TEST
                ]
                values = [cell.mean, cell.deviation, cell.seeds, cell.place, *numbers]
                texts = ["" if _is_nan(value) else value for value in values]
                writer.writerow([*own, name, metric, "measured", *texts])
    return file.getvalue()


_TEST = ("difference", "p", "pairs")


def _is_nan(value) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _writer(styles, plus_minus, test, level):
    def write(cell: Cell) -> str:
        text = f"{cell.mean:.4f}"
        if cell.tests and is_significant(cell.tests[test], level):
            text += BETTER if cell.tests[test].difference > 0 else WORSE
        text = styles[cell.place].format(text)
        if cell.seeds > 1:
            text += f"{plus_minus}{cell.deviation:.4f}"
        return text

    return write


def _title(table: Table) -> str:
    return f"{table.dataset}, {_TASKS[table.task]}"


def _escaped(text: str) -> str:
    for sign in ("&", "%", "_", "#"):
        text = text.replace(sign, f"\\{sign}")
    return text.replace("<", "$<$")
