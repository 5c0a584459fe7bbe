"""Compares a model with the official code on a golden fixture.

    python tools/official_parity.py --fixture=FILE.npz

Prints the largest absolute difference of each output; the exit status is 0 only
where all are within tolerance: scores 1e-5, losses 1e-4, masks equal.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np

from sar_tf.startup import import_tensorflow

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


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="tools/official_parity.py", description=__doc__.partition("\n")[0]
    )
    parser.add_argument(
        "--fixture", type=Path, required=True, help=".npz of the official code"
    )
    args = parser.parse_args(argv)
    import_tensorflow()
    from sar_tf.interop.fixtures import Fixture, compute_outputs
    from sar_tf.interop.weights import InteropError

    try:
        fixture = Fixture.load(args.fixture)
        comparisons = compare(fixture.outputs, compute_outputs(fixture))
    except (InteropError, OSError) as error:
        sys.exit(f"{parser.prog}: {error}")
    print(table(comparisons))
    failed = [comparison.name for comparison in comparisons if not comparison.passed]
    if failed:
        sys.exit(f"{args.fixture}: differs from the official code: {', '.join(failed)}")


if __name__ == "__main__":
    main()
