"""Trains a list of flag sets, each with several seeds.

    python experiments/sweep.py --flagfile=experiments/configs/unisar_kuaisar.flags \\
        --flagfile=experiments/sweeps/unisar_table5.flags \\
        --dataset_dir=data/kuaisar --sweep_dir=runs/table5 --seeds=1,2,3

--variant=NAME: FLAGS, once for each flag set, has flags that override the others. A run
is in sweep_dir/NAME/seed_N. The same command again skips what is finished, and resumes
what was interrupted; on several machines that share sweep_dir, each takes runs that no
other one has. All other flags are those of run.py.
"""

import sys
from collections.abc import Sequence

from sar_tf.startup import import_tensorflow, keep_freed_memory


def main(arguments: Sequence[str]) -> None:
    """Runs a command line; the exit status is 1 if a run failed.

    Args:
        arguments: The command line, without the program's name.
    """
    from experiments import sweeper
    from experiments.runner import exits_in_one_line

    if not {"--help", "-h"}.isdisjoint(arguments):
        print(__doc__)
        return
    with exits_in_one_line("sweep.py"):
        failures = sweeper.run_sweep(sweeper.parse(arguments))
    if failures:
        sys.exit(f"sweep.py: {len(failures)} failed:\n" + "\n".join(failures))


if __name__ == "__main__":
    keep_freed_memory()
    import_tensorflow()  # First, so that it prints less.
    main(sys.argv[1:])
