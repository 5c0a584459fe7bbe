import numpy as np
import pytest
import tensorflow as tf

from pipelines.common import writer
from pipelines.common.vocabulary import Vocabulary
from sar_tf.data.dataset_info import DatasetInfo, sha256
from sar_tf.data.schema import Ragged, UserRecord, parse_records


def record(user, items, query_lengths, clicked):
    """Recommendations of the items, then searches; the last of each is trained on."""
    num_rec, num_search = len(items), len(query_lengths)
    length = num_rec + num_search
    none = np.zeros(num_rec, np.int64)
    item = np.concatenate([items, np.zeros(num_search, np.int64)]).astype(np.int64)
    return UserRecord(
        user=user,
        type=(item > 0).astype(np.int64),
        timestamp=np.arange(length),
        item=item,
        query=np.concatenate([none, np.ones(num_search, np.int64)]),
        search_source=np.zeros(length, np.int64),
        query_words=Ragged(
            np.ones(sum(query_lengths), np.int64),
            np.concatenate([none, np.array(query_lengths, np.int64)]),
        ),
        clicked_items=Ragged.from_rows([[]] * num_rec + clicked),
        user_items=np.unique(np.concatenate([items, *clicked])).astype(np.int64),
        target_task=np.array([1, 0]),
        target_split=np.array([0, 0]),
        target_behavior=np.array([num_rec - 1, length - 1]),
        target_item=np.array([items[-1], clicked[-1][-1]]),
        target_history_end=np.array([num_rec - 1, length - 1]),
        candidates=np.zeros(0, np.int64),
    )


RECORDS = [
    record(1, [3, 2], [2], [[2, 1]]),
    record(2, [2], [0, 4], [[], [3]]),
    record(3, [2], [1], [[4, 1, 3]]),
]
TABLES = writer.Tables(
    vocabularies={
        "user": Vocabulary.build(["u1", "u2", "u3"]),
        "item": Vocabulary.build([7, 8, 9, 10]),
        "word": Vocabulary.build(["w1", "w2"]),
        "search_source": Vocabulary.build(["USER_INPUT"]),
    },
    queries=(np.array([1, 2]), np.array([0, 0, 2])),
    user_features={},
    item_features={
        "category": np.array([0, 5, 0, 2, 5]),
        "caption": (np.array([1, 2, 2]), np.array([0, 0, 1, 1, 3, 3])),
    },
)


def write(directory):
    directory.mkdir()
    summary = writer.Summary.empty(4)
    for index, part in enumerate((RECORDS[:2], RECORDS[2:])):
        path = directory / writer.shard_name(index, 2)
        summary.merge(writer.write_shard(path, part, num_items=4))
    return writer.write_dataset(
        directory,
        summary,
        TABLES,
        name="test",
        command="python -m test",
        seed=5,
        split_rule="none",
    )


def test_parts_add_up_to_the_info(tmp_path):
    write(tmp_path / "data")

    info = DatasetInfo.load(tmp_path / "data")
    info.verify_shards(tmp_path / "data")
    assert (info.name, info.command, info.seed) == ("test", "python -m test", 5)
    assert (info.num_users, info.num_items, info.num_words) == (3, 4, 2)
    assert (info.num_queries, info.num_search_sources) == (1, 1)
    assert (info.max_query_words, info.max_clicked_items) == (4, 3)
    assert info.num_candidates == 99
    assert info.num_behaviors == 8
    assert info.counts == {
        "users": 3,
        "items": 4,
        "queries": 1,
        "search_actions": 4,
        "rec_actions": 4,
    }
    assert info.targets == {
        task: {"train": 3, "validation": 0, "test": 0} for task in ("rec", "search")
    }
    assert info.features == {
        "user": {},
        "item": {
            "category": {"kind": "categorical", "num": 5},
            "caption": {"kind": "words", "num": 2},
        },
    }
    assert [shard["num_records"] for shard in info.shards] == [2, 1]
    for shard in info.shards:
        path = tmp_path / "data" / shard["file"]
        assert shard["num_bytes"] == path.stat().st_size
        assert shard["sha256"] == sha256(path)


def test_files_of_the_dataset(tmp_path):
    write(tmp_path / "data")

    popularity = np.load(tmp_path / "data" / "popularity.npz")
    assert popularity["rec"].tolist() == [0, 0, 3, 0, 0]
    assert popularity["search"].tolist() == [0, 1, 0, 2, 0]
    features = np.load(tmp_path / "data" / "item_features.npz")
    assert features["category"].tolist() == [0, 5, 0, 2, 5]
    assert features["caption/row_splits"].tolist() == [0, 0, 1, 1, 3, 3]
    assert np.load(tmp_path / "data" / "user_features.npz").files == []
    queries = np.load(tmp_path / "data" / "queries.npz")
    assert queries["values"].tolist() == [1, 2]
    vocabularies = tmp_path / "data" / "vocabularies"
    assert (vocabularies / "item.txt").read_text() == "7\n8\n9\n10\n"
    assert (vocabularies / "search_source.txt").read_text() == "USER_INPUT\n"


def test_records_are_read_back(tmp_path):
    info = write(tmp_path / "data")

    paths = [str(tmp_path / "data" / shard["file"]) for shard in info.shards]
    serialized = list(tf.data.TFRecordDataset(paths).as_numpy_iterator())
    parsed = parse_records(tf.constant(serialized))
    assert parsed["user"].numpy().tolist() == [1, 2, 3]
    assert parsed["item"].numpy().tolist() == [3, 2, 0, 2, 0, 0, 2, 0]


def test_same_records_give_the_same_bytes(tmp_path):
    write(tmp_path / "one")
    write(tmp_path / "other")

    files = [path for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) == 11
    for path in files:
        other = tmp_path / "other" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == other.read_bytes(), path.name


def test_info_is_written_last(tmp_path, monkeypatch):
    def fail(self, directory):
        raise OSError("disk is full")

    monkeypatch.setattr(DatasetInfo, "save", fail)
    with pytest.raises(OSError, match="disk is full"):
        write(tmp_path / "data")
    names = {path.name for path in (tmp_path / "data").iterdir()}
    assert {"popularity.npz", "queries.npz", "vocabularies"} <= names
    assert "dataset_info.json" not in names


def test_feature_of_another_length_is_an_error(tmp_path):
    tables = writer.Tables(
        TABLES.vocabularies, TABLES.queries, {"level": np.zeros(3, np.int64)}, {}
    )
    with pytest.raises(ValueError, match="user feature level has 3 rows, expected 4"):
        writer.write_dataset(
            tmp_path,
            writer.Summary.empty(4),
            tables,
            name="test",
            command="",
            seed=0,
            split_rule="",
        )
    assert not (tmp_path / "dataset_info.json").exists()
