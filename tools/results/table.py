"""Tables of a study: means, deviations, marks and p-values of methods and metrics."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from tools.results.collect import Method
from tools.results.significance import (
    PairedTest,
    compare_by_seed,
    compare_by_target,
    values_by_seed,
)

TESTS = {"target": compare_by_target, "seed": compare_by_seed}


@dataclasses.dataclass(frozen=True)
class Cell:
    """A method's value of a metric.

    Attributes:
        mean: Mean over seeds.
        deviation: Standard deviation over seeds, with n - 1; NaN for one seed.
        seeds: Number of seeds.
        place: 1 for the best method of the table, 2 for the second, else 0. Methods
            whose means are equal share a place.
        tests: {"target" or "seed": the t-test against the chosen method}.
        values: The value of each seed.
    """

    mean: float
    deviation: float
    seeds: int
    place: int = 0
    tests: Mapping[str, PairedTest] = dataclasses.field(default_factory=dict)
    values: Sequence[float] = ()


@dataclasses.dataclass(frozen=True)
class Table:
    """The methods of one task on one dataset.

    Attributes:
        dataset: The dataset's name.
        task: "rec" or "search".
        metrics: The metrics, in order.
        cells: {method: {metric: cell}}
        published: {method: {metric: value}} of papers, without a place.
    """

    dataset: str
    task: str
    metrics: tuple[str, ...]
    cells: Mapping[str, Mapping[str, Cell]]
    published: Mapping[str, Mapping[str, float]]


def make_table(
    dataset: str,
    task: str,
    methods: Sequence[Method],
    metrics: Sequence[str],
    against: Method | None = None,
    published: Mapping[str, Mapping[str, float]] | None = None,
) -> Table:
    """The table of a task.

    Args:
        dataset: The dataset's name.
        task: The task; methods without it are left out.
        methods: The methods.
        metrics: The metrics.
        against: The method that every other one is tested against.
        published: Metrics of papers on the same dataset, by method.

    Raises:
        StudyError: A metric is unknown, or the t-test is not possible.
    """
    having = [m for m in methods if all(task in r.tasks for r in m.runs.values())]
    cells: dict[str, dict[str, Cell]] = {method.name: {} for method in having}
    for metric in metrics:
        column = {m.name: values_by_seed(m, task, metric) for m in having}
        places = _places({name: float(v.mean()) for name, v in column.items()})
        for method in having:
            values = column[method.name]
            is_tested = against in having and method is not against
            tests = {
                name: compare(method, against, task, metric)
                for name, compare in TESTS.items()
                if is_tested
            }
            cells[method.name][metric] = Cell(
                float(values.mean()),
                float(values.std(ddof=1)) if len(values) > 1 else float("nan"),
                len(values),
                places[method.name],
                tests,
                values.tolist(),
            )
    return Table(dataset, task, tuple(metrics), cells, published or {})


def _places(means: Mapping[str, float]) -> dict[str, int]:
    order = sorted({round(mean, 12) for mean in means.values()}, reverse=True)
    best = dict(zip(order, (1, 2), strict=False))
    if len(order) < 2:  # All are alike: none is the best.
        best = {}
    return {name: best.get(round(mean, 12), 0) for name, mean in means.items()}


def is_significant(test: PairedTest, level: float) -> bool:
    """Whether a p-value is below the level; NaN, of too few pairs, is not."""
    return bool(np.isfinite(test.p) and test.p < level)
