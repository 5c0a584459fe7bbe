import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository():
    """The root of the checkout."""
    return REPOSITORY


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
    from pipelines import kuaisar, simulate

    folder = tmp_path_factory.mktemp("simulated")
    simulate.write_logs(folder / "logs", num_users=120, num_items=400, seed=3)
    kuaisar.build_dataset(folder / "dataset", input_dir=folder / "logs")
    return folder / "dataset"
