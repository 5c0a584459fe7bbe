import os
import random
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from handmade_kuaisar import Logs, handmade, ms

from pipelines import job, kuaisar, kuaisar_reader, simulate
from pipelines.common.vocabulary import Vocabulary
from sar_tf.data.dataset_info import DatasetError, DatasetInfo
from sar_tf.data.schema import parse_records

NUM_CANDIDATES = 99


def build(logs, tmp_path, name="dataset", **flags):
    input_dir = (
        logs.write(tmp_path / f"{name}-logs") if isinstance(logs, Logs) else logs
    )
    kuaisar.build_dataset(tmp_path / name, input_dir=input_dir, **flags)
    return tmp_path / name


def contents(dataset_dir):
    """Every file's bytes, by its path in the folder."""
    return {
        os.fspath(path.relative_to(dataset_dir)): path.read_bytes()
        for path in sorted(dataset_dir.rglob("*"))
        if path.is_file()
    }


def read_record(dataset_dir, raw_user):
    """One user's record, its fields as lists."""
    users = Vocabulary.load(dataset_dir / "vocabularies" / "user.txt")
    (user,) = users.encode([str(raw_user)])
    assert user > 0, f"user {raw_user} was dropped"
    shards = sorted(map(os.fspath, dataset_dir.glob("users-*.tfrecord")))
    for serialized in tf.data.TFRecordDataset(shards):
        record = parse_records(serialized[None])
        if record["user"][0] == user:
            return {name: values.numpy().tolist() for name, values in record.items()}
    raise AssertionError(f"user {user} has no record")


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory):
    return build(handmade(), tmp_path_factory.mktemp("kuaisar"), command="the command")


def test_sequence_in_time_with_searches_before_recommendations(dataset_dir):
    record = read_record(dataset_dir, 7)
    words = {raw: dense for dense, raw in enumerate((3, 5, 9, 70), start=1)}
    assert record["type"] == [0, 1, 1, 1, 1, 0, 0, 1]
    assert record["timestamp"] == [
        *[ms("02 10:00:00")] * 3,
        ms("06 23:59:59.999"),
        ms("07 00:00:00"),
        ms("07 12:00:00"),
        ms("08 00:00:00"),
        ms("08 23:59:59.999"),
    ]
    # In one batch the order of the file; the click on 06-09 is dropped.
    assert record["item"] == [0, 3, 1, 6, 7, 0, 0, 10]
    assert record["query_words"] == [words[5], words[70], words[70]]
    assert record["query_words_splits"] == [0, 2, 2, 2, 2, 2, 2, 3, 3]
    assert record["clicked_items"] == [4, 9, 8]
    assert record["clicked_items_splits"] == [0, 1, 1, 1, 1, 1, 1, 3, 3]
    # Queries in the order of their texts: "3", "5 70", "70"; the empty one is none.
    assert record["query"] == [2, 0, 0, 0, 0, 0, 3, 0]
    # FILLER, HISTORY, USER_INPUT; "empty" is none.
    assert record["search_source"] == [3, 0, 0, 0, 0, 0, 2, 0]
    assert record["user_items"] == [1, 3, 4, 6, 7, 8, 9, 10]


def test_targets_by_day_in_beijing(dataset_dir):
    record = read_record(dataset_dir, 7)
    # Nothing came before the behaviors of 06-02, so they are no targets.
    assert record["target_item"] == [6, 7, 9, 8, 10]
    assert record["target_task"] == [1, 1, 0, 0, 1]
    assert record["target_split"] == [0, 1, 2, 2, 2]
    assert record["target_behavior"] == [3, 4, 6, 6, 7]
    assert record["target_history_end"] == [3, 4, 6, 6, 7]
    candidates = np.reshape(record["candidates"], (4, NUM_CANDIDATES))
    assert all(len(set(row)) == NUM_CANDIDATES for row in candidates)
    assert not np.isin(candidates, record["user_items"]).any()
    assert candidates.min() >= 1 and candidates.max() <= 110


def test_info_and_tables(dataset_dir):
    info = DatasetInfo.load(dataset_dir)
    info.verify_shards(dataset_dir)
    assert (info.name, info.command, info.seed) == ("kuaisar", "the command", 1)
    assert info.counts == {
        "users": 6,
        "items": 110,
        "queries": 3,
        "search_actions": 5 + 3,
        "rec_actions": 5 * 110 + 5,
    }
    # Each filler's one search comes after all recommendations, without a click.
    assert info.targets == {
        "rec": {"train": 1, "validation": 1, "test": 1},
        "search": {"train": 0, "validation": 0, "test": 2},
    }
    assert (info.num_words, info.num_search_sources) == (4, 3)
    assert (info.max_query_words, info.max_clicked_items) == (2, 2)
    assert info.features["item"]["caption"] == {"kind": "words", "num": 4}
    queries = np.load(dataset_dir / "queries.npz")
    assert queries["row_splits"].tolist() == [0, 0, 1, 3, 4]
    assert queries["values"].tolist() == [1, 2, 4, 4]
    popularity = np.load(dataset_dir / "popularity.npz")
    assert popularity["rec"].nonzero()[0].tolist() == [6]

    items = np.load(dataset_dir / "item_features.npz")
    assert items["first_level_category_id"][:5].tolist() == [0, 0, 0, 2, 1]
    assert items["second_level_category_id"][:5].tolist() == [0, 1, 1, 2, 1]
    assert items["caption/values"].tolist() == [4, 3, 3]
    assert items["caption/row_splits"][:6].tolist() == [0, 0, 2, 2, 3, 3]
    users = np.load(dataset_dir / "user_features.npz")
    # Users 7, 901 and four that user_features.csv does not have; user 8 is dropped.
    assert users["onehot_feat1"].tolist() == [0, 2, 1, 0, 0, 0, 0]
    assert users["onehot_feat2"].tolist() == [0, 0, 1, 0, 0, 0, 0]
    assert users["search_active_level"].tolist() == [0, 2, 1, 0, 0, 0, 0]
    assert users["rec_active_level"].tolist() == [0, 0, 1, 0, 0, 0, 0]
    assert not (dataset_dir / "rejects.csv").exists()
    assert not (dataset_dir / "work").exists()


def test_filters_repeat_until_all_have_five_interactions(dataset_dir, tmp_path):
    logs = handmade()
    for item in (2000, 3000):
        logs.add_item(item)
    # Only recommendations, only searches: neither counts for items.
    logs.add_rec(8, "02 08:00:00", *range(1001, 1011), 2000)
    logs.add_session(
        9, "02 08:00:00", 60, "[5]", "HISTORY", dict.fromkeys(range(1001, 1011), 1)
    )
    # Item 2000 has four interactions without that of user 8.
    logs.add_rec(901, "02 08:00:00", 2000, 2000)
    # User 10 has five interactions, but not when item 2000 is dropped; item 3000 has
    # five, but not when user 10 is dropped.
    logs.add_session(10, "02 08:00:00", 61, "[5]", "HISTORY", {2000: 1, 3000: 1})
    logs.add_rec(10, "02 08:00:00", 1001, 1002, 1003)
    for user in (901, 902, 903, 904):
        logs.add_rec(user, "02 08:00:00", 3000)
    # A session stays, without clicks, where all of its clicked items are dropped.
    logs.add_session(902, "03 08:00:00", 62, "[5]", "HISTORY", {2000: 1})
    dropped = build(logs, tmp_path)
    users = (dropped / "vocabularies" / "user.txt").read_text().split()
    items = (dropped / "vocabularies" / "item.txt").read_text().split()

    assert users == ["7", "901", "902", "903", "904", "905"]
    assert items == [str(item) for item in range(1001, 1111)]
    record = read_record(dropped, 902)
    assert record["type"][-2:] == [0, 0]
    assert record["clicked_items"] == []


def test_sessions_hold_five_items_and_queries_fifty_words(tmp_path):
    logs = handmade()
    words = ", ".join(str(word) for word in range(1, 60))
    clicks = dict.fromkeys(range(1004, 1011), 1)
    logs.add_session(7, "05 08:00:00", 70, f"[{words}]", "HISTORY", clicks)
    logs.items[4] |= {"caption": f"[{words}]"}
    dataset_dir = build(logs, tmp_path)

    record = read_record(dataset_dir, 7)
    assert np.diff(record["query_words_splits"]).max() == 50
    assert record["clicked_items"] == [4, *[4, 5, 6, 7, 8], 9, 8]
    assert record["target_item"][:8] == [4, 5, 6, 7, 8, 9, 10, 6]
    items = np.load(dataset_dir / "item_features.npz")
    assert np.diff(items["caption/row_splits"]).max() == 50


BAD_ROWS = {
    "bad number in item_id": ("rec_inter", "7,x,0.0,1685577600000.0,1"),
    "bad number in user_id": ("rec_inter", ",1001,0.0,1685577600000.0,1"),
    "bad number in click": ("rec_inter", "7,1001,0.0,1685577600000.0,2"),
    "bad number in timestamp": ("rec_inter", "7,1001,0.0,soon,1"),
    "negative time in timestamp": ("rec_inter", "7,1001,0.0,-5.0,1"),
    "unknown item": ("rec_inter", "7,5,0.0,1685577600000.0,1"),
    "wrong number of fields": ("rec_inter", "7,1001,0.0,1685577600000.0"),
    "bad list in keyword": ("src_inter", '7,80,1685577600000,"[1, 2",HISTORY,1001,1,P'),
    "unclosed quote": ("src_inter", '7,81,1685577600000,"[1, 2],HISTORY,1001,1,P'),
    "bad number in click_cnt": (
        "src_inter",
        "7,82,1685577600000,[1],HISTORY,1001,-1,P",
    ),
    "session id of another user": (
        "src_inter",
        "8,50,1685577600000,[1],HISTORY,1001,1,PHOTO",
    ),
    "item described twice": ("item_features", "1001,[],1,1,1"),
    "bad list in caption": ("item_features", '5000,"__import__(1)",1,1,1'),
    "bad number in first_level_category_id": ("item_features", "5000,[],1,1.5,1"),
    "user described twice": ("user_features", "7,1,1,1,1"),
    "bad number in onehot_feat1": ("user_features", "6,1,1,x,1"),
}


def test_malformed_rows_are_listed_by_reason_and_change_nothing(dataset_dir, tmp_path):
    input_dir = handmade().write(tmp_path / "logs")
    expected = set()
    for reason, (name, row) in BAD_ROWS.items():
        with open(input_dir / f"{name}.csv", "a") as file:
            file.write(f"{row}\r\n")
        with open(input_dir / f"{name}.csv", "rb") as file:
            expected.add((f"{name}.csv", sum(1 for _ in file), reason))
    dirty = build(input_dir, tmp_path, max_bad_fraction=0.5, command="the command")

    rejects = pd.read_csv(dirty / "rejects.csv")
    rows = zip(rejects["source"], rejects["line"], rejects["reason"], strict=True)
    assert set(rows) == expected
    assert rejects["text"].tolist().count("7,x,0.0,1685577600000.0,1") == 1
    files = contents(dirty)
    del files["rejects.csv"]
    assert files == contents(dataset_dir)


def test_too_many_malformed_rows_fail_the_job(tmp_path):
    logs = handmade()
    for _ in range(6):
        logs.rec.append(logs.rec[0] | {"timestamp": -1})
    with pytest.raises(
        job.UserError, match=r"rec_inter.csv: 6 of 56\d .*negative time"
    ):
        build(logs, tmp_path)
    assert not (tmp_path / "dataset").exists()
    assert len(pd.read_csv(tmp_path / "dataset.rejects.csv")) == 6


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("rec_inter.csv", "click"),
        ("src_inter.csv", "keyword"),
        ("item_features.csv", "caption"),
        ("user_features.csv", "onehot_feat2"),
    ],
)
def test_missing_file_or_column_is_one_line_that_names_it(name, column, tmp_path):
    input_dir = handmade().write(tmp_path / "logs")
    path = input_dir / name
    argv = [f"--input_dir={input_dir}", f"--output_dir={tmp_path / 'out'}"]
    header, rest = path.read_text().split("\n", 1)
    path.write_text(header.replace(column, "other") + "\n" + rest)
    with pytest.raises(SystemExit, match=rf"{name} has no column '{column}'"):
        kuaisar.main(argv)
    path.write_text(header)
    with pytest.raises(SystemExit, match=rf"{name} holds no rows"):
        kuaisar.main(argv)
    path.unlink()
    with pytest.raises(SystemExit, match=rf"{name}: no such file"):
        kuaisar.main(argv)
    assert not (tmp_path / "out").exists()


def test_log_without_a_user_to_keep_says_so(tmp_path):
    logs = handmade()
    logs.search = [logs.search[0]]
    logs.rec = [row for row in logs.rec if row["user_id"] != 901]
    with pytest.raises(job.UserError, match="no user is left"):
        build(logs, tmp_path)


def test_layout_of_the_columns_and_pieces_does_not_matter(
    dataset_dir, tmp_path, monkeypatch
):
    """KuaiSAR-small and the full set: other columns, orders, number formats, ends."""
    logs = handmade()
    shuffle = random.Random(1).shuffle
    for rows in (logs.rec, logs.search, logs.items, logs.users):
        columns = list(rows[0])
        shuffle(columns)
        for index, row in enumerate(rows):
            rows[index] = {name: row[name] for name in columns} | {"more": '"a,b"'}
    for row in logs.rec:
        row |= {"timestamp": int(row["timestamp"]), "click": float(row["click"])}
    input_dir = logs.write(tmp_path / "logs")
    for path in input_dir.iterdir():
        path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").rstrip())
    monkeypatch.setattr(kuaisar_reader, "PIECE_BYTES", 500)
    assert contents(build(input_dir, tmp_path, command="the command")) == contents(
        dataset_dir
    )


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    input_dir = tmp_path_factory.mktemp("simulated") / "logs"
    simulate.write_logs(input_dir, num_users=150, num_items=400, rows_per_user=100)
    return input_dir


def test_seed_decides_every_byte_and_processes_none(simulated, tmp_path, monkeypatch):
    size = sum(
        (simulated / f"{log}_inter.csv").stat().st_size for log in ("rec", "src")
    )
    monkeypatch.setattr(kuaisar, "PART_BYTES", size // 4 + 1)
    first = contents(build(simulated, tmp_path, "first"))
    assert sum(name.endswith(".tfrecord") for name in first) == 4
    with monkeypatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)
        assert contents(build(simulated, tmp_path, "one-process")) == first
        other = contents(build(simulated, tmp_path, "other", seed=2))
    changed = {name for name in first if other[name] != first[name]}
    assert all(name.endswith((".tfrecord", "info.json")) for name in changed)
    assert len(changed) == 5


def test_simulated_logs_keep_most_users_and_items(simulated, tmp_path):
    info = DatasetInfo.load(build(simulated, tmp_path))
    assert info.num_users > 0.8 * 150
    assert info.num_items > 0.8 * 400
    assert min(min(counts.values()) for counts in info.targets.values()) > 0


def test_killed_job_leaves_no_dataset_and_runs_again(simulated, tmp_path, repository):
    output_dir = tmp_path / "out"
    flags = [f"--input_dir={simulated}", f"--output_dir={output_dir}"]
    killed_before_the_info = (
        "import os, signal\n"
        "from pipelines import kuaisar\n"
        "from sar_tf.data.dataset_info import DatasetInfo\n"
        "kuaisar.PART_BYTES = 200_000\n"  # So that there are several processes.
        "DatasetInfo.save = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "kuaisar.main()\n"
    )
    # Reading its output to the end takes as long as one of its processes lives.
    process = subprocess.run(
        [sys.executable, "-c", killed_before_the_info, *flags],
        capture_output=True,
        timeout=120,
    )

    assert process.returncode == -signal.SIGKILL
    staging = tmp_path / ".out.partial"
    assert list(staging.glob("users-*"))  # It was killed while writing.
    assert not output_dir.exists()
    with pytest.raises(DatasetError, match="not finished"):
        DatasetInfo.load(staging)
    script = repository / "pipelines" / "kuaisar.py"
    subprocess.run([sys.executable, script, *flags], check=True)
    assert not staging.exists()
    DatasetInfo.load(output_dir).verify_shards(output_dir)


def test_table_of_malformed_rows_alone_says_so(tmp_path):
    logs = handmade()
    for row in logs.items:
        row["caption"] = "none"
    with pytest.raises(job.UserError, match="holds no well-formed row"):
        build(logs, tmp_path, max_bad_fraction=1.0)
