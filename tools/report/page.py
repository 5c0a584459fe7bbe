"""The page: what a study found, from its runs to one HTML text."""

import datetime
import json
from collections.abc import Sequence
from pathlib import Path

from tools.figures.curves import csv_rows, known_columns, make_curves
from tools.report.charts import legend, line_chart
from tools.report.html import csv_bytes, download, element, escape, simple_table
from tools.report.images import figures_of
from tools.report.tables import results_table, summary
from tools.results.collect import (
    Method,
    Run,
    StudyError,
    collect,
    varying_settings,
)
from tools.results.layout import csv_text
from tools.results.study import make_note, make_tables

_METRICS = "NDCG@5,NDCG@10,HR@1,HR@5,HR@10,MRR"
# The loss of all terms is no comparison of methods that have different ones.
_COLUMNS = ("val_rec_NDCG@5", "val_search_NDCG@5", "click_loss")
# Whatever a folder's names say, nothing is fetched.
_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'"
)


def make_page(arguments: Sequence[str], options) -> str:
    """The HTML of a study.

    Args:
        arguments: As `tools.results.collect.collect`.
        options: The values of the flags.

    Raises:
        StudyError, ConfigError, DatasetError: The runs make no page.
    """
    methods = collect(arguments, options.split)
    sections = {
        "Results": _results(methods, options),
        "Learning curves": _curves(methods, options.columns),
    }
    if options.figures:
        figures = element("div", figures_of(options.figures), class_="images")
        sections["Figures"] = figures
    sections["Runs"] = _runs(methods)
    body = "".join(
        element(
            "section", element("h2", title) + content, id=_anchor(title), class_="card"
        )
        for title, content in sections.items()
    )
    links = "".join(
        element("a", title, href=f"#{_anchor(title)}") for title in sections
    )
    number = sum(len(method.runs) for method in methods)
    today = datetime.date.today()
    about = f"{len(methods)} methods, {number} runs; written {today:%d %B %Y}"
    header = element("h1", escape(options.title)) + element("p", about, class_="about")
    if options.note:
        header += element("p", escape(options.note), class_="lead")
    header += element("nav", links, aria_label="Sections")
    folder = Path(__file__).parent
    style = (folder / "page.css").read_text(encoding="utf-8")
    script = (folder / "page.js").read_text(encoding="utf-8")
    head = (
        '<meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{escape(options.title)}</title><style>{style}</style>"
    )
    content = element("header", header) + element("main", body)
    content += '<div id="tip" role="status" hidden></div>'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head>'
        f"<body>{content}<script>{script}</script></body></html>\n"
    )


def _anchor(title):
    return title.lower().replace(" ", "-")


def _results(methods: Sequence[Method], options) -> str:
    tables = make_tables(methods, options, _METRICS)
    content = summary(tables)
    content += "".join(
        results_table(table, options.test, options.level, number)
        for number, table in enumerate(tables, start=1)
    )
    content += element("p", escape(make_note(options)), class_="note")
    saved = download(csv_text(tables).encode(), "results.csv")
    return content + element("p", f"All numbers as a file: {saved}", class_="note")


def _curves(methods: Sequence[Method], columns: str | None) -> str:
    chosen = columns.split(",") if columns else known_columns(methods, _COLUMNS)
    if not chosen:
        raise StudyError("no run has a column of learning curves; name --columns")
    found = make_curves(methods, chosen)
    names = list(dict.fromkeys(curve.method for curve in found))
    numbers = {name: number for number, name in enumerate(names)}
    charts = "".join(
        line_chart(column, [c for c in found if c.column == column], numbers)
        for column in chosen
    )
    text = (
        "A line is the mean over seeds, a band reaches from the lowest to the highest. "
        "Point at a chart, or focus it and use the arrow keys, for its values."
    )
    saved = download(csv_bytes(csv_rows(found)), "learning_curves.csv")
    return (
        legend(names)
        + element("div", charts, class_="charts")
        + element("p", f"{text} All values: {saved}", class_="note")
    )


def _runs(methods: Sequence[Method]) -> str:
    runs = [(method.name, run) for method in methods for run in method.runs.values()]
    varying = varying_settings([run for _, run in runs])
    rows: list[list] = [["method", "seed", "best epoch", "trained", *varying, "folder"]]
    for (name, run), *own in zip(runs, *varying.values(), strict=True):
        rows.append([name, run.config.seed, *_epochs(run), *own, run.path])
    settings = json.loads(runs[0][1].config.to_json())
    settings.update(settings.pop("hyperparameters"))
    same = [
        [name, value]
        for name, value in settings.items()
        if name not in {*varying, "sha256", "seed"}
    ]
    return simple_table(rows, "Runs", 1000) + element(
        "details",
        element("summary", "The other settings, of the first run")
        + simple_table([["setting", "value"], *same], "Settings", 1000),
    )


def _epochs(run: Run) -> tuple[object, object]:
    metrics = json.loads((run.path / "metrics.json").read_text(encoding="utf-8"))
    with open(run.path / "history.csv", encoding="utf-8") as file:
        return metrics.get("epoch", "-"), sum(1 for _ in file) - 1
