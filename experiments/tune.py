"""Searches settings and hyperparameters with Keras Tuner.

    python experiments/tune.py --flagfile=experiments/configs/unisar_kuaisar.flags \\
        --flagfile=experiments/spaces/unisar.flags --dataset_dir=data/kuaisar \\
        --tuner=random --max_trials=20 --tune_dir=runs/tune

The same command again goes on where the search was interrupted. With Keras Tuner's
variables KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT it is the
chief of a search, or one of its workers. All other flags are those of run.py.
"""

import sys
from collections.abc import Sequence

from sar_tf.startup import import_tensorflow, keep_freed_memory


def main(arguments: Sequence[str]) -> None:
    """Runs a command line; the exit status is 1 if no trial is finished.

    Args:
        arguments: The command line, without the program's name.
    """
    from experiments import search
    from experiments.runner import exits_in_one_line

    if not {"--help", "-h"}.isdisjoint(arguments):
        print(__doc__)
        return
    with exits_in_one_line("tune.py"):
        chosen = search.parse(arguments)
        try:
            from experiments.tuner import run_search
        except ImportError as error:
            sys.exit(f'tune.py: {error}; install it: pip install -e ".[study]"')
        is_found = run_search(chosen)
    if not is_found:
        sys.exit("tune.py: no trial is finished; trials.csv lists them")


if __name__ == "__main__":
    keep_freed_memory()
    import_tensorflow()  # First, so that it prints less.
    main(sys.argv[1:])
