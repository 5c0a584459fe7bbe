import numpy as np
import pytest
from support import builders

from pipelines.common.negatives import NUM_CANDIDATES
from sar_tf.data.dataset import SequenceDataset
from sar_tf.training import baselines

NUM_ITEMS = NUM_CANDIDATES + 10


@pytest.fixture
def dataset(tmp_path):
    """Item 1 is clicked in training, 2 and 3 are not; stored candidates are above."""
    stored = np.arange(NUM_CANDIDATES) + 11
    behaviors = [builders.rec(time, item) for time, item in enumerate([1, 1, 1, 2])]
    targets = [
        (0, "train", 1),
        (1, "train", 1),
        (2, "validation", 1),
        (3, "test", 2),
    ]
    records = [
        builders.make_record(user, behaviors, targets, stored) for user in (1, 2)
    ]
    builders.write_dataset(tmp_path, records, NUM_ITEMS, [])
    return SequenceDataset.open(tmp_path)


def test_most_popular_by_hand(dataset):
    popular = baselines.count_baselines(dataset)["most_popular"]
    assert popular["validation"]["rec"]["MRR"] == 1
    # No candidate was ever a training target: all are tied, which counts against.
    assert popular["test"]["rec"]["MRR"] == pytest.approx(1 / (NUM_CANDIDATES + 1))
    assert popular["test"]["rec"]["HR@50"] == 0
    assert popular["test"]["search"]["MRR"] == 0  # without targets


def test_random_is_uniform_and_of_one_seed(simulated_dataset):
    dataset = SequenceDataset.open(simulated_dataset)
    random = baselines.count_baselines(dataset)["random"]
    assert random["test"]["rec"]["HR@10"] == pytest.approx(0.1, abs=0.05)
    assert random == baselines.count_baselines(dataset)["random"]


def test_counted_once_a_dataset(dataset, monkeypatch):
    first = baselines.load_baselines(dataset)
    assert (dataset.dataset_dir / baselines.FILE_NAME).is_file()
    with monkeypatch.context() as patch:
        patch.setattr(baselines, "count_baselines", None)
        assert baselines.load_baselines(dataset) == first


@pytest.mark.parametrize("text", ["", "[]", '{"shards": []}'])
def test_a_file_of_other_records_is_counted_again(dataset, text):
    path = dataset.dataset_dir / baselines.FILE_NAME
    path.write_text(text)
    assert baselines.load_baselines(dataset) == baselines.count_baselines(dataset)
    assert len(path.read_text()) > 1000


def test_a_folder_that_cannot_be_written(dataset, monkeypatch):
    # A folder in the file's place: nobody can write it, root neither.
    (dataset.dataset_dir / baselines.FILE_NAME).mkdir()
    assert baselines.load_baselines(dataset) == baselines.count_baselines(dataset)
