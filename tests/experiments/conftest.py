import os
import subprocess
import sys

import pytest

SMALL = (
    "--seed=3",
    "--batch_size=512",
    "--evaluation_batch_size=64",
    "--history_groups=1",
    "--max_rec_history=5",
    "--max_search_history=4",
    "--num_sampled=16",
    "--verbose=none",
)


@pytest.fixture(scope="session")
def small_flags(simulated_dataset):
    """Flags of a run that takes seconds: the dataset, sizes and the seed."""
    return (*SMALL, f"--dataset_dir={simulated_dataset}")


@pytest.fixture(scope="session")
def run():
    """Runs experiments/run.py's functions in this process: run(*flags)."""
    from experiments import run as script

    def run_here(*arguments):
        script.main(list(map(str, arguments)))

    return run_here


@pytest.fixture(scope="session")
def run_process(repository):
    """Runs experiments/run.py as a process of its own: run_process(*flags)."""
    environment = dict(os.environ)
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    environment["PYTHONPATH"] = str(repository)

    def run_there(*arguments):
        return subprocess.run(
            [sys.executable, repository / "experiments" / "run.py", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )

    return run_there
