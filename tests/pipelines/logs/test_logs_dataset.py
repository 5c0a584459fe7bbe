"""What the job makes of ten rows, by hand; all formats give the same records."""

import numpy as np
import pytest
import tensorflow as tf
from handmade_logs import ITEM_COLUMNS, ITEMS, SHOP, frame, write_as

import sar_tf
from pipelines.logs import build_dataset
from pipelines.logs.settings import make_settings
from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.schema import parse_records

DAY = 86_400_000
MAY_1 = 19_844 * DAY  # 2024-05-01, ms.


def minutes(clock: str) -> int:
    hours, minute = clock.split(":")
    return (int(hours) * 60 + int(minute)) * 60_000


def build(folder, events, **values):
    output_dir = folder / "dataset"
    settings = make_settings(
        {"events.files": [str(events)], "num_negatives": 2, **values}
    )
    build_dataset(output_dir, settings=settings, max_bad_fraction=0.5)
    return output_dir


def records(dataset_dir):
    """{raw user: serialized record} and the dataset."""
    dataset = SequenceDataset.open(dataset_dir)
    found = {}
    users = dataset.vocabulary("user")
    for path in dataset.shard_paths():
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            flat = parse_records(tf.constant([record]))
            found[users[int(flat["user"][0]) - 1]] = record
    return found, dataset


def fields(record):
    flat = parse_records(tf.constant([record]))
    return {name: tensor.numpy().tolist() for name, tensor in flat.items()}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    items = write_as(folder, "items.csv", ITEMS)
    return build(
        folder,
        write_as(folder, "events.csv", SHOP),
        **{"items.files": [str(items)], **ITEM_COLUMNS},
    )


def test_records(shop):
    found, dataset = records(shop)
    assert dataset.vocabulary("user") == ["ann", "bob", "cem"]
    assert dataset.vocabulary("item") == ["p1", "p2", "p3", "p4", "p5", "p6"]
    ann = fields(found["ann"])
    assert ann["type"] == [0, 1, 1, 0]
    assert [time - MAY_1 for time in ann["timestamp"]] == [
        minutes("9:00"),
        minutes("9:05"),
        DAY + minutes("18:30"),
        2 * DAY + minutes("8:15"),
    ]
    assert ann["item"] == [0, 3, 4, 0]
    assert ann["clicked_items"] == [1, 2, 4]
    assert ann["clicked_items_splits"] == [0, 2, 2, 2, 3]
    assert ann["user_items"] == [1, 2, 3, 4]
    # The first search has no history; the last click is test, the one before it
    # validation.
    assert ann["target_item"] == [3, 4, 4]
    assert ann["target_task"] == [1, 1, 0]
    assert ann["target_split"] == [0, 1, 2]
    assert ann["target_history_end"] == [1, 2, 3]
    assert sorted(ann["candidates"][:2]) == sorted(ann["candidates"][2:]) == [5, 6]
    words = dataset.vocabulary("word")
    assert [words[word - 1] for word in ann["query_words"]] == [
        *("red", "shoes"),
        *("rain", "coat", "blue"),
    ]
    assert dataset.info.tokenizer == "words"
    assert dataset.info.num_candidates == 2


def test_features(shop):
    _, dataset = records(shop)
    tables = dataset.feature_tables(3)["item"]
    assert dataset.vocabulary("brand") == ["acme", "bolt"]
    assert tables["brand"].tolist() == [0, 1, 1, 2, 2, 0, 0]
    # Known prices 10, 20, 30, 50: the median splits them.
    assert dataset.vocabulary("price") == ["1 below 30", "2 from 30"]
    assert tables["price"].tolist() == [0, 1, 1, 2, 0, 2, 0]
    assert dataset.vocabulary("tags") == ["blue", "coat", "rain", "red", "shoe"]
    assert tables["tags"].tolist() == [
        *([0, 0, 0], [4, 5, 0], [5, 0, 0], [0, 0, 0]),
        *([1, 2, 3], [2, 0, 0], [0, 0, 0]),
    ]
    words = dataset.vocabulary("word")
    captions = [[words[w - 1] for w in row if w] for row in tables["caption"]]
    assert captions[1:3] == [["red", "shoe"], ["shoe", "of", "acme"]]
    assert captions[3:5] == [[], ["rain", "coat"]]
    data = sar_tf.open_dataset(shop, batch_size=4, num_groups=1)
    assert data.spec.item_features == {"brand": 2, "price": 2, "tags": [5, 3]}
    model = sar_tf.models.SASRec(data.spec, data.tables, hidden_dim=4, num_blocks=1)
    model.compile("adam")
    model.fit(data.train(), epochs=1, verbose=0)
    assert np.isfinite(model.predict(data.test(), verbose=0)["rec"]).all()


@pytest.mark.parametrize(
    "name", ["e.tsv", "e.jsonl", "e.parquet", "e.csv.gz", "e.jsonl.gz"]
)
def test_all_formats_give_the_same_records(shop, tmp_path, name):
    items = write_as(tmp_path, f"items-{name}", ITEMS)
    made = build(
        tmp_path,
        write_as(tmp_path, name, SHOP),
        **{"items.files": [str(items)], **ITEM_COLUMNS},
    )
    assert records(made)[0] == records(shop)[0]
    fingerprints = [SequenceDataset.open(path).fingerprint for path in (made, shop)]
    assert fingerprints[0] == fingerprints[1]


def test_pandas_gives_the_same_records(shop, tmp_path):
    sar_tf.write_dataset(
        frame(),
        items=frame(ITEMS),
        output_dir=tmp_path / "made",
        columns=ITEM_COLUMNS,
        num_negatives=2,
    )
    assert records(tmp_path / "made")[0] == records(shop)[0]


def test_several_parts_and_processes_give_the_same_records(shop, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.common.lines.PIECE_BYTES", 100)
    monkeypatch.setattr("pipelines.common.shuffle.PART_BYTES", 100)
    lines = SHOP.splitlines(keepends=True)
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "a.csv").write_text("".join(lines[:6]))
    (folder / "b.csv").write_text("".join(lines[:1] + lines[6:]))
    (folder / "_SUCCESS").write_text("")
    items = write_as(tmp_path, "items.csv", ITEMS)
    made = build(tmp_path, folder, **{"items.files": [str(items)], **ITEM_COLUMNS})
    assert len(SequenceDataset.open(made).info.shards) > 2
    assert records(made)[0] == records(shop)[0]


def test_two_tables_and_one_row_a_click(tmp_path, shop):
    (tmp_path / "recs.csv").write_text(
        "who,when,what\n"
        "ann,2024-05-01T09:05Z,p3\nann,2024-05-02T20:30+02:00,p4\n"
        "bob,2024-05-01T12:00Z,p1\nbob,2024-05-02T12:45Z,p5\nbob,2024-05-03T20:00Z,p1\n"
        "cem,2024-05-01T07:00Z,p2\n"
    )
    start = MAY_1 // 1000
    (tmp_path / "searches.csv").write_text(
        "user,timestamp,session,query,item\n"
        f"ann,{start + 32400},1,red shoes,p1\nann,{start + 32400},1,,p2\n"
        f"ann,{start + 202500},2,rain coat blue,p4\n"
        f"bob,{start + 131400},1,running shoes,p2\ncem,{start + 113400},1,coat,p6\n"
    )
    settings = make_settings(
        {
            "recs.files": str(tmp_path / "recs.csv"),
            "recs.user": "who",
            "recs.time": "when",
            "recs.item": "what",
            "searches.files": str(tmp_path / "searches.csv"),
            "num_negatives": 2,
        }
    )
    build_dataset(tmp_path / "made", settings=settings)
    made, expected = records(tmp_path / "made")[0], records(shop)[0]
    for user, record in expected.items():
        one, other = fields(made[user]), fields(record)
        for name in set(one) - {"query", "query_words"}:  # Captions add words.
            assert one[name] == other[name], (user, name)
