import os
import subprocess
import sys

import pytest
from absl import flags as absl_flags

SMALL = (
    "--seed=3",
    "--batch_size=512",
    "--evaluation_batch_size=64",
    "--history_groups=1",
    "--max_rec_history=5",
    "--max_search_history=4",
    "--num_sampled=16",
    "--verbose=0",
)


@pytest.fixture(scope="session")
def small_flags(simulated_dataset):
    """Flags of a run that takes seconds: the dataset, sizes and the seed."""
    return (*SMALL, f"--dataset_dir={simulated_dataset}")


@pytest.fixture(scope="session")
def run():
    """Runs experiments/run.py's functions in this process: run(*flags)."""
    from experiments import flags
    from experiments import run as script

    flags.define()

    def run_here(*arguments):
        absl_flags.FLAGS.unparse_flags()
        for name in absl_flags.FLAGS:
            absl_flags.FLAGS[name].unparse()
        script.main(script.parse_flags(["run.py", *arguments]))

    return run_here


@pytest.fixture(scope="session")
def run_process(repository):
    """Runs experiments/run.py as a process of its own: run_process(*flags)."""
    environment = dict(os.environ)
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)

    def run_there(*arguments):
        return subprocess.run(
            [sys.executable, repository / "experiments" / "run.py", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )

    return run_there
