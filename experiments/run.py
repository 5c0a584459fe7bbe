"""Trains, evaluates and exports a model.

    python experiments/run.py --flagfile=experiments/configs/quickstart.flags
    python experiments/run.py --mode=evaluate --run_dir=runs/quickstart
    python experiments/run.py --run_dir=runs/quickstart --resume

--help lists all flags. evaluate, export and --resume take the run's own flags.txt
where the command line says nothing else.
"""

import sys

from absl import app, flags, logging

from sar_tf.startup import import_tensorflow


def main(argv):
    from experiments import runner

    try:
        runner.run(argv[1:])
    except runner.USER_ERRORS as error:
        sys.exit(f"run.py: {error}")


def parse_flags(argv):
    """Parses the command line; the flags of the run named in it come first."""
    from sar_tf.training.run_directory import RunDirectory

    try:
        remaining = flags.FLAGS(argv)
        goes_on = flags.FLAGS.mode != "train" or flags.FLAGS.resume
        if goes_on and flags.FLAGS.run_dir:
            kept = RunDirectory(flags.FLAGS.run_dir).flags
            if kept.is_file():
                flags.FLAGS.unparse_flags()
                remaining = flags.FLAGS([argv[0], f"--flagfile={kept}", *argv[1:]])
    except flags.Error as error:
        sys.exit(f"run.py: {error}")
    return remaining


if __name__ == "__main__":
    import_tensorflow()  # before anything else imports it, with all its chatter
    from experiments.flags import define

    define()
    logging.set_verbosity(logging.WARNING)
    app.run(main, flags_parser=parse_flags)
