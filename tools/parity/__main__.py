"""Compares a model with the official code on a golden fixture.

    python -m tools.parity --fixture=FILE.npz

Prints the largest absolute difference of each output; the exit status is 0 only
where all are within tolerance: scores 1e-5, losses 1e-4, masks equal.
"""

import argparse
import sys
from pathlib import Path

from sar_tf.startup import import_tensorflow
from tools.parity.comparison import compare, table


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="tools.parity", description=__doc__.partition("\n")[0]
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
