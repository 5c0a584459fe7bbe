"""Metrics against one setting, from runs that differ in nothing else but seeds."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tools.figures.style import STYLES
from tools.results.collect import NOT_OF_THE_METHOD, Method, Run, StudyError
from tools.results.significance import values_of_ranks


@dataclasses.dataclass(frozen=True)
class Effect:
    """A metric of a task by the values of a setting.

    Attributes:
        task, metric: What is measured.
        values: The setting's values, ascending.
        mean, low, high: Over the seeds of each value.
        seeds: Their number.
    """

    task: str
    metric: str
    values: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]
    seeds: list[int]


def make_effects(
    methods: Sequence[Method], setting: str, metrics: Sequence[str]
) -> list[Effect]:
    """The effects of a setting on each task's metrics.

    Args:
        methods: Their runs; the methods' names do not matter.
        setting: A setting of a number, or a hyperparameter.
        metrics: "HR@k", "NDCG@k" or "MRR".

    Raises:
        StudyError: The runs differ in other settings too, or have no such number.
    """
    runs = [run for method in methods for run in method.runs.values()]
    _require_alike(runs, setting)
    by_value: dict[float, list[Run]] = {}
    for run in runs:
        by_value.setdefault(_number(run, setting), []).append(run)
    values = sorted(by_value)
    effects = []
    for task in runs[0].tasks:
        for metric in metrics:
            found = [
                [
                    float(np.mean(values_of_ranks(run.of_task(task), metric)))
                    for run in x
                ]
                for x in (by_value[value] for value in values)
            ]
            effects.append(
                Effect(
                    task,
                    metric,
                    values,
                    [float(np.mean(x)) for x in found],
                    list(map(min, found)),
                    list(map(max, found)),
                    list(map(len, found)),
                )
            )
    return effects


def _number(run, setting):
    config = run.config
    value = config.hyperparameters.get(setting, getattr(config, setting, None))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise StudyError(f"--setting={setting}: {run.path} has no such number")
    return value


def _require_alike(runs, setting):
    first = runs[0]
    for run in runs[1:]:
        others = set(first.config.changed(run.config)) - NOT_OF_THE_METHOD - {setting}
        if others or run.config.dataset_dir != first.config.dataset_dir:
            name = min(others, default="dataset_dir")
            raise StudyError(
                f"{first.path} and {run.path} differ in {name} too; name runs that "
                f"differ in {setting} and seeds alone"
            )


def csv_rows(effects: Sequence[Effect], setting: str) -> list[list]:
    """The numbers of the figure, the head first."""
    rows: list[list] = [["task", "metric", setting, "mean", "min", "max", "seeds"]]
    for effect in effects:
        columns = (effect.values, effect.mean, effect.low, effect.high, effect.seeds)
        rows += [
            [effect.task, effect.metric, *row] for row in zip(*columns, strict=True)
        ]
    return rows


def draw(figure, effects: Sequence[Effect], setting: str) -> None:
    """Draws a panel for each task and metric, each with a scale of its own.

    Args:
        figure: matplotlib's figure.
        effects: As `make_effects` gives them.
        setting: The setting's name.
    """
    panels = figure.subplots(1, len(effects), squeeze=False)[0]
    tasks = list(dict.fromkeys(effect.task for effect in effects))
    for panel, effect in zip(panels, effects, strict=True):
        style = STYLES[tasks.index(effect.task) % len(STYLES)]
        # Values are evenly spaced: those of weights are powers of ten, and may be 0.
        places = range(len(effect.values))
        panel.plot(places, effect.mean, **style)
        panel.fill_between(
            places, effect.low, effect.high, color=style["color"], alpha=0.15
        )
        panel.set_xticks(places, [f"{value:g}" for value in effect.values])
        panel.set_xlabel(setting)
        panel.set_title(f"{effect.task} {effect.metric}")
