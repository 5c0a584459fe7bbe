"""Learning curves of methods, with the spread over seeds."""

import csv
import dataclasses
from collections.abc import Sequence

import numpy as np

from tools.figures.style import STYLES
from tools.results.collect import Method, Run, StudyError


@dataclasses.dataclass(frozen=True)
class Curve:
    """One column of history.csv over the epochs of a method's runs.

    Attributes:
        method: The method's name.
        column: The column.
        epochs: From 1.
        mean, low, high: Over the seeds that have the epoch.
        seeds: Their number: early stopping ends runs at different epochs.
    """

    method: str
    column: str
    epochs: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    seeds: np.ndarray


def make_curves(methods: Sequence[Method], columns: Sequence[str]) -> list[Curve]:
    """The curves of each column, for the methods that have it.

    Args:
        methods: The methods.
        columns: Columns of history.csv.

    Raises:
        StudyError: No run has a column, or a history.csv is missing.
    """
    histories = _histories(methods)
    curves = []
    for column in columns:
        having = _having(histories, column)
        if not having:
            known = sorted({n for runs in histories.values() for n in runs[0][0]})
            raise StudyError(
                f"no run has {column} for all epochs; columns are {', '.join(known)}"
            )
        curves += [_curve(name, column, runs) for name, runs in having.items()]
    return curves


def known_columns(methods: Sequence[Method], columns: Sequence[str]) -> list[str]:
    """Those of some columns that `make_curves` can draw.

    Raises:
        StudyError: A history.csv is missing.
    """
    histories = _histories(methods)
    return [column for column in columns if _having(histories, column)]


def _histories(methods):
    """{method: the rows of history.csv of each run}."""
    return {
        method.name: [_read(run) for run in method.runs.values()] for method in methods
    }


def _having(histories, column):
    """{method: the column's texts of each run}, of the methods that have it whole."""
    return {
        name: [[row[column] for row in rows] for rows in runs]
        for name, runs in histories.items()
        if all(row.get(column) for rows in runs for row in rows)
    }


def _read(run: Run) -> list[dict[str, str]]:
    path = run.path / "history.csv"
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise StudyError(f"{path}: {error.strerror}; leave the run out") from error
    if not rows:
        raise StudyError(f"{path} has no epoch; leave the run out")
    return rows


def _curve(name, column, runs):
    values = np.full((len(runs), max(map(len, runs))), np.nan)
    for row, texts in enumerate(runs):
        values[row, : len(texts)] = [float(text) for text in texts]
    return Curve(
        name,
        column,
        np.arange(1, values.shape[1] + 1),
        np.nanmean(values, axis=0),
        np.nanmin(values, axis=0),
        np.nanmax(values, axis=0),
        np.sum(~np.isnan(values), axis=0),
    )


def csv_rows(curves: Sequence[Curve]) -> list[list]:
    """The numbers of the figure, the head first."""
    rows: list[list] = [["method", "column", "epoch", "mean", "min", "max", "seeds"]]
    for curve in curves:
        arrays = (curve.epochs, curve.mean, curve.low, curve.high, curve.seeds)
        columns = [array.tolist() for array in arrays]
        rows += [
            [curve.method, curve.column, *row] for row in zip(*columns, strict=True)
        ]
    return rows


def draw(figure, curves: Sequence[Curve]) -> None:
    """Draws a panel for each column.

    Args:
        figure: matplotlib's figure.
        curves: As `make_curves` gives them.
    """
    columns = list(dict.fromkeys(curve.column for curve in curves))
    panels = figure.subplots(1, len(columns), squeeze=False)[0]
    names = list(dict.fromkeys(curve.method for curve in curves))
    for panel, column in zip(panels, columns, strict=True):
        for curve in (curve for curve in curves if curve.column == column):
            style = STYLES[names.index(curve.method) % len(STYLES)]
            panel.plot(curve.epochs, curve.mean, label=curve.method, **style)
            panel.fill_between(
                curve.epochs, curve.low, curve.high, color=style["color"], alpha=0.15
            )
        panel.set_xlabel("epoch")
        panel.set_title(column)
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.legend(frameon=False)
