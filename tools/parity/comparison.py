"""Arrays of the official code beside ours: how far they may be apart."""

import dataclasses

import numpy as np

SCORE_TOLERANCE = 1e-5
LOSS_TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True)
class Comparison:
    """An output of the official code beside ours.

    Attributes:
        name: the output's.
        difference: largest absolute one; for masks the number of slots that
            differ; NaN where the output is missing, of another shape or not finite.
        tolerance: how large it may be.
    """

    name: str
    difference: float
    tolerance: float

    @property
    def passed(self):
        return bool(self.difference <= self.tolerance)  # NaN is not


def compare(expected, computed):
    """A list of a `Comparison` for each array of `expected`, by name."""
    return [
        _compare(name, value, computed.get(name)) for name, value in expected.items()
    ]


def _compare(name, expected, computed):
    is_mask = expected.dtype == bool
    tolerance = LOSS_TOLERANCE if expected.ndim == 0 else SCORE_TOLERANCE
    if is_mask:
        tolerance = 0.0
    if computed is None or computed.shape != expected.shape:
        difference = float("nan")
    elif is_mask:
        difference = float(np.count_nonzero(computed != expected))
    else:
        difference = float(np.max(np.abs(computed - expected), initial=0.0))
    return Comparison(name, difference, tolerance)


def table(comparisons):
    """The comparisons as lines of text."""
    width = max(len(comparison.name) for comparison in comparisons)
    lines = [f"{'output':{width}}  {'difference':>10}  {'allowed':>8}"]
    for c in comparisons:
        verdict = "" if c.passed else "  FAILS"
        lines.append(
            f"{c.name:{width}}  {c.difference:10.2e}  {c.tolerance:8.0e}{verdict}"
        )
    return "\n".join(lines)
