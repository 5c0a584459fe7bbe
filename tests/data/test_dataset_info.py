import json

import pytest
from support.builders import make_record, rec, write_dataset

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.dataset_info import DatasetError, DatasetInfo


@pytest.fixture
def dataset_dir(tmp_path):
    records = [make_record(user, [rec(1, user)]) for user in (1, 2)]
    write_dataset(tmp_path, records, num_items=2, queries=[[1, 2], []])
    return tmp_path


SHARD = "users-00001-of-00002.tfrecord"


def test_round_trip(dataset_dir):
    info = DatasetInfo.load(dataset_dir)
    assert (info.num_users, info.num_items, info.num_queries) == (2, 2, 2)
    assert json.loads(info.to_json()) == json.loads(
        (dataset_dir / "dataset_info.json").read_text()
    )
    info.verify_shards(dataset_dir)


def test_missing_folder(tmp_path):
    with pytest.raises(DatasetError, match="nowhere: no such folder"):
        DatasetInfo.load(tmp_path / "nowhere")


def test_unfinished_job(dataset_dir):
    (dataset_dir / "dataset_info.json").unlink()
    with pytest.raises(DatasetError, match="was not finished; run it again") as error:
        SequenceDataset.open(dataset_dir)
    assert str(dataset_dir) in str(error.value)


def test_other_version(dataset_dir):
    path = dataset_dir / "dataset_info.json"
    values = json.loads(path.read_text()) | {"schema_version": 99}
    path.write_text(json.dumps(values))
    with pytest.raises(DatasetError, match=r"dataset_info.json has schema version 99"):
        SequenceDataset.open(dataset_dir)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema_version": 1}'])
def test_damaged_info(dataset_dir, text):
    (dataset_dir / "dataset_info.json").write_text(text)
    with pytest.raises(DatasetError, match=r"dataset_info.json is damaged"):
        SequenceDataset.open(dataset_dir)


def test_missing_shard(dataset_dir):
    (dataset_dir / SHARD).unlink()
    with pytest.raises(DatasetError, match=f"{SHARD} is missing"):
        SequenceDataset.open(dataset_dir)


def test_truncated_shard(dataset_dir):
    content = (dataset_dir / SHARD).read_bytes()
    (dataset_dir / SHARD).write_bytes(content[:-5])
    with pytest.raises(DatasetError, match=f"{SHARD} has .* cut short") as error:
        SequenceDataset.open(dataset_dir)
    assert "python -m pipelines.test" in str(error.value)


def test_shard_with_one_bit_flipped(dataset_dir):
    content = bytearray((dataset_dir / SHARD).read_bytes())
    content[40] ^= 1
    (dataset_dir / SHARD).write_bytes(content)
    DatasetInfo.load(dataset_dir).verify_shards(dataset_dir, checksums=False)
    with pytest.raises(DatasetError, match=f"{SHARD} is damaged"):
        SequenceDataset.open(dataset_dir)


def test_tables(dataset_dir):
    dataset = SequenceDataset.open(dataset_dir)
    assert dataset.vocabulary("user") == ["user-0001", "user-0002"]
    assert dataset.query_words(3).tolist() == [[0, 0, 0], [1, 2, 0], [0, 0, 0]]
    assert dataset.query_words(1).tolist() == [[0], [1], [0]]
    tables = dataset.feature_tables(max_words=3)
    assert tables["user"]["level"].tolist() == [0, 1, 2]
    assert tables["item"]["caption"].tolist() == [[0, 0, 0], [1, 2, 0], [0, 0, 0]]
    assert dataset.popularity()["rec"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("file", ["queries.npz", "vocabularies/user.txt"])
def test_missing_table(dataset_dir, file):
    (dataset_dir / file).unlink()
    dataset = SequenceDataset.open(dataset_dir)
    with pytest.raises(DatasetError, match=f"{file} cannot be read"):
        dataset.query_words(3)
        dataset.vocabulary("user")


def test_truncated_table(dataset_dir):
    path = dataset_dir / "queries.npz"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DatasetError, match=r"queries.npz cannot be read"):
        SequenceDataset.open(dataset_dir).query_words(3)
