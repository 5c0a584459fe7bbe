import json

import pytest
import tensorflow as tf
from support.builders import make_record, rec, write_dataset

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.dataset_info import DatasetError, DatasetInfo
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.data.records import damage_named, iterate_blocks, read_blocks


@pytest.fixture
def dataset_dir(tmp_path):
    users = [make_record(user, [rec(1, user)]) for user in (1, 2)]
    users[0] = make_record(1, [rec(1, 1)], [(0, "train", 1)])
    write_dataset(tmp_path, users, num_items=2, queries=[[1, 2], []])
    return tmp_path


SHARDS = ["users-00000-of-00002.tfrecord", "users-00001-of-00002.tfrecord"]
SHARD = SHARDS[1]


def test_round_trip(dataset_dir):
    info = DatasetInfo.load(dataset_dir)
    assert (info.num_users, info.num_items, info.num_queries) == (2, 2, 2)
    assert json.loads(info.to_json()) == json.loads(
        (dataset_dir / "dataset_info.json").read_text()
    )
    info.verify_shards(dataset_dir)


def test_a_dataset_without_a_tokenizer_opens(dataset_dir):
    values = json.loads((dataset_dir / "dataset_info.json").read_text())
    for name in ("tokenizer", "tables", "checksum"):
        del values[name]
    (dataset_dir / "dataset_info.json").write_text(json.dumps(values))
    assert SequenceDataset.open(dataset_dir).info.tokenizer == ""


def test_missing_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="file is a file; name a dataset's folder"):
        DatasetInfo.load(tmp_path / "file")
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


def flip_a_bit(path, place=40):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_a_shard_with_one_bit_flipped_is_found_when_it_is_read(dataset_dir):
    flip_a_bit(dataset_dir / SHARD)
    dataset = SequenceDataset.open(dataset_dir)
    with pytest.raises(DatasetError, match=f"^.*{SHARD} is damaged") as error:
        list(iterate_blocks(dataset))
    assert "\n" not in str(error.value)
    seed = tf.constant([1, 2], tf.int64)
    with (
        pytest.raises(DatasetError, match=f"{SHARD} is damaged"),
        damage_named(dataset),
    ):
        list(read_blocks(dataset, seed))
    pipeline = BatchPipeline(dataset)
    with pytest.raises(tf.errors.OpError, match=f"{SHARD} is damaged"):
        list(pipeline.train())
    # Reads the other one alone.
    assert list(read_blocks(dataset, seed, worker=0, num_workers=2))


def test_another_error_stays_what_it_is(dataset_dir):
    dataset = SequenceDataset.open(dataset_dir)
    with pytest.raises(tf.errors.InvalidArgumentError), damage_named(dataset):
        tf.io.decode_raw(tf.constant("abc"), tf.int64)


def test_every_table_and_vocabulary_is_listed(dataset_dir):
    files = {
        path.relative_to(dataset_dir).as_posix()
        for path in dataset_dir.rglob("*")
        if path.is_file()
    }
    listed = [table["file"] for table in DatasetInfo.load(dataset_dir).tables]
    assert {*listed, *SHARDS, "dataset_info.json"} == files
    assert len(listed) == 8


TABLES = ["queries.npz", "item_features.npz", "popularity.npz", "vocabularies/user.txt"]


@pytest.mark.parametrize("file", TABLES)
def test_a_changed_table_is_found_when_the_folder_is_opened(dataset_dir, file):
    flip_a_bit(dataset_dir / file, 15)
    with pytest.raises(DatasetError, match=f"{file} is damaged"):
        SequenceDataset.open(dataset_dir)
    (dataset_dir / file).unlink()
    with pytest.raises(DatasetError, match=f"{file} is missing"):
        SequenceDataset.open(dataset_dir)


@pytest.mark.parametrize(
    ("found", "changed"),
    [
        ('"num_behaviors": 2', '"num_behaviors": 3'),
        ('"level"', '"lebel"'),
        ('"tables"', '"tablet"'),
        ('"checksum"', '"checksun"'),
        ('"checksum": "', '"checksum": "0'),
    ],
)
def test_an_edited_info_is_found(dataset_dir, found, changed):
    path = dataset_dir / "dataset_info.json"
    text = path.read_text()
    assert text.count(found) == 1
    path.write_text(text.replace(found, changed))
    with pytest.raises(DatasetError, match=r"dataset_info.json is damaged"):
        SequenceDataset.open(dataset_dir)


def test_an_info_that_lost_its_checksum_is_found(dataset_dir):
    path = dataset_dir / "dataset_info.json"
    values = json.loads(path.read_text())
    del values["checksum"]
    path.write_text(json.dumps(values))
    with pytest.raises(DatasetError, match=r"dataset_info.json is damaged"):
        SequenceDataset.open(dataset_dir)


def test_a_shard_that_grew_is_found_when_the_folder_is_opened(dataset_dir):
    with open(dataset_dir / SHARD, "ab") as file:
        file.write(b"0")
    with pytest.raises(DatasetError, match=f"{SHARD} has .* bytes instead of"):
        SequenceDataset.open(dataset_dir)


def older(dataset_dir):
    """Makes the folder one of the first version, which had no such checksums."""
    path = dataset_dir / "dataset_info.json"
    values = json.loads(path.read_text())
    del values["checksum"], values["tables"]
    path.write_text(json.dumps(values))


def test_an_older_dataset_opens_and_has_the_same_fingerprint(dataset_dir):
    expected = SequenceDataset.open(dataset_dir).fingerprint
    older(dataset_dir)
    dataset = SequenceDataset.open(dataset_dir)
    assert dataset.fingerprint == expected
    assert dataset.query_words(3).shape == (3, 3)


def test_the_fingerprint_tells_what_ids_stand_for(tmp_path):
    def fingerprint(name, items=1, queries=((1, 2),), split="train"):
        (tmp_path / name).mkdir()
        behaviors = [rec(1, 1), rec(2, 1)]
        targets = [(1, split, 1)] if split else []
        record = make_record(1, behaviors, targets)
        write_dataset(tmp_path / name, [record], items + 99, list(queries))
        return SequenceDataset.open(tmp_path / name).fingerprint

    expected = fingerprint("one")
    assert fingerprint("same") == expected
    assert fingerprint("other_targets", split="test") == expected
    assert fingerprint("more_items", items=2) != expected
    assert fingerprint("other_queries", queries=[[2, 1]]) != expected


def test_tables(dataset_dir):
    dataset = SequenceDataset.open(dataset_dir)
    assert dataset.vocabulary("user") == ["user-0001", "user-0002"]
    assert dataset.query_words(3).tolist() == [[0, 0, 0], [1, 2, 0], [0, 0, 0]]
    assert dataset.query_words(1).tolist() == [[0], [1], [0]]
    tables = dataset.feature_tables(max_words=3)
    assert tables["user"]["level"].tolist() == [0, 1, 2]
    assert tables["item"]["caption"].tolist() == [[0, 0, 0], [1, 2, 0], [0, 0, 0]]
    assert dataset.popularity()["rec"].tolist() == [0, 1, 0]


@pytest.mark.parametrize("file", ["queries.npz", "vocabularies/user.txt"])
def test_missing_table_of_an_older_dataset(dataset_dir, file):
    older(dataset_dir)
    (dataset_dir / file).unlink()
    dataset = SequenceDataset.open(dataset_dir)
    with pytest.raises(DatasetError, match=f"{file} cannot be read"):
        dataset.query_words(3)
        dataset.vocabulary("user")


def test_truncated_table_of_an_older_dataset(dataset_dir):
    older(dataset_dir)
    path = dataset_dir / "queries.npz"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DatasetError, match=r"queries.npz cannot be read"):
        SequenceDataset.open(dataset_dir).query_words(3)
