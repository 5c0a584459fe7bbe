import pytest
from handmade_kuaisar import build, handmade


@pytest.fixture(scope="session")
def dataset_dir(tmp_path_factory):
    """The dataset of the hand-made logs."""
    return build(handmade(), tmp_path_factory.mktemp("kuaisar"), command="the command")
