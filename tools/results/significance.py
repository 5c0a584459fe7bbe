"""What each target contributes to a metric, and paired t-tests of two methods."""

import dataclasses

import numpy as np

from tools.results.collect import Method, StudyError


@dataclasses.dataclass(frozen=True)
class PairedTest:
    """A paired, two-sided t-test of a method against another one.

    Attributes:
        difference: Mean of the method less mean of the other.
        p: The p-value. NaN where there are fewer than two pairs, or where all pairs
            have the same difference, as two seeds can: t has no deviation to divide
            by. Methods that do not differ at all have 1.
        pairs: Number of pairs.
    """

    difference: float
    p: float
    pairs: int


def values_of_ranks(ranks: np.ndarray, metric: str) -> np.ndarray:
    """A metric of each target, whose mean is the metric.

    Args:
        ranks: Ranks from 1, `(T,)`.
        metric: "HR@k", "NDCG@k" or "MRR".

    Raises:
        StudyError: There is no such metric.

    Example:

    >>> values_of_ranks(np.array([1, 3]), "NDCG@5").tolist()
    [1.0, 0.5]
    """
    ranks = np.asarray(ranks, np.float64)
    name, _, cutoff = metric.partition("@")
    if metric == "MRR":
        return 1 / ranks
    if name not in ("HR", "NDCG") or not cutoff.isdigit():
        raise StudyError(f"{metric} is no metric; write HR@k, NDCG@k or MRR")
    gains = np.ones_like(ranks) if name == "HR" else 1 / np.log2(ranks + 1)
    return np.where(ranks <= int(cutoff), gains, 0.0)


def values_by_seed(method: Method, task: str, metric: str) -> np.ndarray:
    """The metric of each seed's run, `(seeds,)`."""
    return np.array(
        [
            np.mean(values_of_ranks(run.of_task(task), metric))
            for run in method.runs.values()
        ]
    )


def compare_by_target(
    method: Method, other: Method, task: str, metric: str
) -> PairedTest:
    """Pairs the targets, each with its mean over the seeds of each method.

    It says whether the difference holds for other targets of the same trained models.

    Raises:
        StudyError: The methods rank other targets.
    """
    return _paired(
        _values_by_target(method, other, task, metric),
        _values_by_target(other, method, task, metric),
    )


def compare_by_seed(
    method: Method, other: Method, task: str, metric: str
) -> PairedTest:
    """Pairs the seeds that both methods have.

    It says whether the difference holds for other seeds on the same targets.
    """
    shared = method.runs.keys() & other.runs.keys()
    values = [
        values_by_seed(
            Method(m.name, {seed: m.runs[seed] for seed in sorted(shared)}),
            task,
            metric,
        )
        for m in (method, other)
    ]
    return _paired(*values)


def _values_by_target(method, other, task, metric):
    first = next(iter(other.runs.values()))
    for run in method.runs.values():
        # A model of both tasks and one of this task have the same targets of it.
        if not np.array_equal(run.users_of(task), first.users_of(task)):
            raise StudyError(
                f"{run.path} and {first.path} rank different targets; a t-test "
                "needs runs on the same dataset"
            )
    values = [
        values_of_ranks(run.of_task(task), metric) for run in method.runs.values()
    ]
    return np.mean(values, axis=0)


def _paired(values: np.ndarray, others: np.ndarray) -> PairedTest:
    differences = values - others
    number = len(differences)
    if number < 2:
        mean = float(differences.mean()) if number else float("nan")
        return PairedTest(mean, float("nan"), number)
    if not differences.any():
        return PairedTest(0.0, 1.0, number)
    if np.ptp(differences) <= 1e-9 * np.abs(differences).max():
        return PairedTest(float(differences.mean()), float("nan"), number)
    p = _stats().ttest_rel(values, others).pvalue
    return PairedTest(float(differences.mean()), float(p), number)


def _stats():
    try:
        from scipy import stats
    except ImportError as error:
        raise StudyError(
            'a t-test needs SciPy: pip install -e ".[study]", or leave --against out'
        ) from error
    return stats
