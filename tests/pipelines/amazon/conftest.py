import pytest
from handmade_amazon import build, layout_2014


@pytest.fixture(scope="session")
def dataset_dir(tmp_path_factory):
    """The dataset of the hand-made reviews and metadata."""
    folder = tmp_path_factory.mktemp("amazon")
    return build(layout_2014(folder), folder / "out")
