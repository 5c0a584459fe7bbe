import numpy as np
from handmade_kuaisar import build, contents, handmade, ms, read_record

from sar_tf.data.dataset_info import DatasetInfo

NUM_CANDIDATES = 99
DROPPED = """
                                    users  items  events
in the logs                             9    113     588
dropped: items never clicked            0      1       0
dropped: in the last two days           0      0       2
dropped: only one behavior              2      0      12
dropped: fewer than 5 interactions      1      2      10
kept                                    6    110     564
"""


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
    assert info.tokenizer == "ids"
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


def test_filters_repeat_until_all_have_five_interactions(tmp_path, capfd):
    logs = handmade()
    for item in (2000, 3000, 4000):  # Nobody clicks item 4000.
        logs.add_item(item)
    # Only recommendations, only searches: neither counts for items.
    logs.add_rec(8, "02 08:00:00", *range(1001, 1011), 2000)
    logs.add_session(
        9, "02 08:00:00", 60, "[5]", "HISTORY", dict.fromkeys(range(1001, 1011), 1)
    )
    # Item 2000 has four interactions without that of user 8.
    logs.add_rec(901, "02 08:00:00", 2000)
    logs.add_rec(901, "02 08:00:01", 2000)
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
    assert DROPPED in capfd.readouterr().err


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


def test_session_of_several_rows(tmp_path):
    logs = handmade()
    # One session: it has the first row's query and the earliest time, and its item
    # 1020 is one interaction.
    logs.add_session(7, "05 08:00:00", 70, "[5]", "HISTORY", {1020: 1})
    logs.add_session(7, "04 08:00:00", 70, "[70]", "HISTORY", {1021: 0, 1020: 2})
    # The log ends on 06-10, so 06-09 is dropped.
    logs.add_session(7, "08 23:59:59.999", 71, "[3]", "HISTORY", {1022: 0})
    logs.add_session(7, "09 00:00:00", 72, "[3]", "HISTORY", {1023: 1})
    dataset_dir = build(logs, tmp_path)

    record = read_record(dataset_dir, 7)
    assert record["timestamp"] == [
        *[ms("02 10:00:00")] * 3,
        ms("04 08:00:00"),
        ms("06 23:59:59.999"),
        ms("07 00:00:00"),
        ms("07 12:00:00"),
        ms("08 00:00:00"),
        *[ms("08 23:59:59.999")] * 2,
    ]
    # Queries in the order of their texts: "3", "5", "5 70", "70".
    assert record["query"] == [3, 0, 0, 2, 0, 0, 0, 4, 1, 0]
    assert record["clicked_items"] == [4, 20, 9, 8]
    assert record["target_item"] == [20, 6, 7, 9, 8, 10]
    assert DatasetInfo.load(dataset_dir).targets["search"]["train"] == 1


def test_user_whose_recommendations_are_all_dropped_goes(dataset_dir, tmp_path):
    logs = handmade()
    logs.add_item(2000)
    logs.add_rec(8, "02 08:00:00", 2000)
    clicks = dict.fromkeys(range(1001, 1011), 1)
    logs.add_session(8, "02 09:00:00", 60, "[5]", "HISTORY", clicks)
    assert contents(build(logs, tmp_path, command="the command")) == contents(
        dataset_dir
    )


def test_last_day_is_beijings(dataset_dir, tmp_path):
    logs = handmade()
    (last,) = [row for row in logs.rec if row["timestamp"] > ms("10 00:00:00")]
    last["timestamp"] = float(ms("10 00:00:00"))  # In UTC it is 06-09.
    assert contents(build(logs, tmp_path, command="the command")) == contents(
        dataset_dir
    )
