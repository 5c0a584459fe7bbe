import gc
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# What XLA compiles here runs a few times: it is not worth optimizing.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import pytest

# Tracing makes many objects that live on: seldom looking for dead ones saves 4%.
gc.set_threshold(200_000, 20, 50)

REPOSITORY = Path(__file__).resolve().parents[1]


_LONG = ("experiments", "training")  # Folders of the tests that take longest.


def pytest_collection_modifyitems(items):
    """Begins with what takes longest, so that all processes end at the same time."""
    items.sort(key=lambda item: item.path.parent.name not in _LONG)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """A test draws the same weights and numbers, whichever tests ran before it.

    And graphs run a few times: they are not worth optimizing either. Tests of programs
    have them optimized, as the programs do, to compare numbers bit by bit.
    """
    if keras := sys.modules.get("keras"):
        keras.utils.set_random_seed(1)
    if tf := sys.modules.get("tensorflow"):
        is_optimized = item.path.parent.name == "experiments"
        tf.config.optimizer.set_experimental_options(
            {"disable_meta_optimizer": not is_optimized}
        )


@pytest.fixture(scope="session")
def repository():
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def golden_dir():
    """Fixtures of the official code: weights, inputs and outputs, all random."""
    return REPOSITORY / "tests" / "golden"


@pytest.fixture(scope="session")
def shared_dir():
    """Papers, real data and golden fixtures beside the checkout; else skips."""
    path = REPOSITORY.parent / "shared"
    if not path.is_dir():
        pytest.skip("no ../shared folder (real data and golden fixtures) here")
    return path


@pytest.fixture(scope="session")
def simulated_dataset(tmp_path_factory):
    """A small dataset folder, made from simulated logs by the KuaiSAR job."""
    from pipelines import simulate

    dataset_dir = tmp_path_factory.mktemp("simulated") / "dataset"
    simulate.build_dataset(dataset_dir, num_users=120, num_items=400, seed=3)
    return dataset_dir
