"""Trains, evaluates and exports a model.

    python experiments/run.py --flagfile=experiments/configs/quickstart.flags
    python experiments/run.py --mode=evaluate --run_dir=runs/quickstart
    python experiments/run.py --run_dir=runs/quickstart --resume

`--model=NAME --help` lists all flags and the hyperparameters of that model. evaluate,
export and --resume use the settings of the run; flags override them.
"""

import sys
from collections.abc import Sequence

from sar_tf.startup import import_tensorflow, keep_freed_memory


def main(arguments: Sequence[str]) -> None:
    """Runs a command line; an error is one line and the exit status 1.

    Args:
        arguments: The command line, without the program's name.
    """
    from experiments import runner

    with runner.exits_in_one_line("run.py"):
        runner.run_command(arguments)


if __name__ == "__main__":
    keep_freed_memory()
    import_tensorflow()  # First, so that it prints less.
    main(sys.argv[1:])
