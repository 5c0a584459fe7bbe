import numpy as np
import pytest
from handmade_amazon import (
    NUM_FILLERS,
    REVIEWS,
    START,
    build,
    layout_2014,
    layout_2018,
    layout_2023,
    of_user,
    parse,
    raw_ids,
)

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.dataset_info import DatasetInfo
from sar_tf.data.tokenizer import get_tokenizer


def test_sequence_holds_a_search_before_each_click_that_has_a_query(dataset_dir):
    fields = parse(dataset_dir)
    items, words = raw_ids(dataset_dir, "item"), raw_ids(dataset_dir, "word")
    sequence = {
        name: of_user(fields, 1, name, "sequence")
        for name in ("type", "timestamp", "item", "query_words", "clicked_items")
    }

    assert sequence["type"] == [0, 1, 0, 1, 0, 1, 1, 1]
    since = [time - START for time in sequence["timestamp"]]
    assert since == [10, 10, 20, 20, 20, 20, 30, 40]
    names = [items.get(item) for item in sequence["item"]]
    assert names == [None, "i1", None, "i2", None, "i3", "i4", "i5"]
    clicked = [[items[item] for item in row] for row in sequence["clicked_items"]]
    assert clicked == [["i1"], [], ["i2"], [], ["i3"], [], [], []]
    queries = [" ".join(words[word] for word in row) for row in sequence["query_words"]]
    assert queries[0] == "photo digital camera lenses"
    assert queries[2] in ("beauty hair", "beauty skin hair")
    assert queries[4] == "beauty hair"
    assert [queries[index] for index in (1, 3, 5, 6, 7)] == [""] * 5


def test_repeats_ties_and_draws_of_queries(tmp_path):
    reviews = [
        *REVIEWS,
        ("u1", "i1", 60),  # Again, but at another time.
        *(("u3", item, 20) for item in ("i5", "i3", "i4", "i1")),  # A tie.
        *((f"w{user}", "i2", 5) for user in range(40)),
    ]
    dataset_dir = build(layout_2014(tmp_path, reviews), tmp_path / "out")
    fields, items = parse(dataset_dir), raw_ids(dataset_dir, "item")

    def clicks(user):
        sequence = of_user(fields, user, "item", "sequence")
        return [items[item] for item in sequence if item]

    assert clicks(1) == ["i1", "i2", "i3", "i4", "i5", "i1"]
    assert clicks(3) == ["i5", "i3", "i4", "i1"]
    # An item's queries are drawn equally often.
    is_search = fields["type"] == 0
    of_i2 = np.flatnonzero(is_search)[-40:]
    counts = np.unique(fields["query"][of_i2], return_counts=True)[1]
    assert len(counts) == 2 and counts.min() >= 10


def test_targets_leave_one_out_and_see_only_what_is_earlier(dataset_dir):
    fields = parse(dataset_dir)
    items = raw_ids(dataset_dir, "item")
    targets = {
        name: of_user(fields, 1, f"target_{name}", "target")
        for name in ("task", "split", "behavior", "item", "history_end")
    }

    assert targets["task"] == [0, 1, 0, 1, 1, 1]
    assert targets["split"] == [0, 0, 0, 0, 1, 2]
    assert targets["behavior"] == [2, 3, 4, 5, 6, 7]
    target_items = [items[item] for item in targets["item"]]
    assert target_items == ["i2", "i2", "i3", "i3", "i4", "i5"]
    assert targets["history_end"] == [2, 2, 2, 2, 6, 7]
    # Of two interactions the first is no target, so there is none for validation.
    assert of_user(fields, 2, "target_split", "target") == [2, 2]
    assert of_user(fields, 2, "target_history_end", "target") == [2, 2]


def test_negatives_are_99_distinct_items_of_others(dataset_dir):
    fields = parse(dataset_dir)
    for user in (1, 2):
        negatives = np.array(of_user(fields, user, "candidates", "candidates"))
        user_items = of_user(fields, user, "user_items", "user_items")
        assert len(negatives) == 2 * 99
        assert not np.isin(negatives, user_items).any()
        assert [len(set(row)) for row in negatives.reshape(2, 99).tolist()] == [99, 99]
    assert of_user(fields, 3, "candidates", "candidates") == []  # No targets.


def test_info_and_tables(dataset_dir):
    info = DatasetInfo.load(dataset_dir)

    num_items = 5 + NUM_FILLERS
    assert info.counts == {
        "users": 2 + NUM_FILLERS,
        "items": num_items,
        "queries": 3,
        "search_actions": 5,
        "rec_actions": 7 + NUM_FILLERS,
    }
    assert info.targets == {
        "rec": {"train": 2, "validation": 1, "test": 2},
        "search": {"train": 2, "validation": 0, "test": 1},
    }
    assert (info.num_words, info.max_query_words, info.max_clicked_items) == (7, 4, 1)
    # A typed query finds the words of the categories.
    words = get_tokenizer(info.tokenizer).words
    for word in SequenceDataset.open(dataset_dir).vocabulary("word"):
        assert words(word) == [word]
    assert info.features == {"user": {}, "item": {}}
    assert not (dataset_dir / "rejects.csv").exists()
    popularity = np.load(dataset_dir / "popularity.npz")
    items = raw_ids(dataset_dir, "item")
    assert {items[i] for i in np.flatnonzero(popularity["search"])} == {"i2", "i3"}
    assert popularity["rec"].sum() == info.targets["rec"]["train"]


@pytest.mark.parametrize("layout", [layout_2018, layout_2023])
def test_later_layouts_give_the_same_interactions(layout, dataset_dir, tmp_path):
    later_dir = build(layout(tmp_path), tmp_path / "out")
    first, later = parse(dataset_dir), parse(later_dir)

    unit = 1000 if layout is layout_2023 else 1
    np.testing.assert_array_equal(unit * first["timestamp"], later["timestamp"])
    for name in ("type", "item", "target_item", "target_history_end"):
        np.testing.assert_array_equal(first[name], later[name], err_msg=name)
    assert DatasetInfo.load(later_dir).num_queries == 2  # One hierarchy an item.
    assert not (later_dir / "rejects.csv").exists()


def test_real_data_has_the_expected_counts(shared_dir, tmp_path):
    folder = shared_dir / "data" / "amazon_beauty"
    files = folder / "reviews_Beauty_5.json.gz", folder / "meta_Beauty.json.gz"

    dataset_dir = build(files, tmp_path / "out")

    info = DatasetInfo.load(dataset_dir)
    assert (info.num_users, info.num_items) == (22_363, 12_101)
    assert info.counts["rec_actions"] == info.counts["search_actions"] == 198_502
    expected = {"train": 131_413, "validation": 22_363, "test": 22_363}
    assert info.targets == {"rec": expected, "search": expected}
    # Ranking by popularity in the training targets, ties against it.
    fields = parse(dataset_dir)
    popularity = np.load(dataset_dir / "popularity.npz")["rec"]
    evaluated = fields["target_split"] > 0
    positive = popularity[fields["target_item"][evaluated]]
    negatives = popularity[fields["candidates"].reshape(-1, 99)]
    rank = 1 + np.sum(negatives >= positive[:, None], axis=1)
    is_rec = fields["target_task"][evaluated] == 1
    for split, ndcg_at_5, hit_at_10 in ((1, 0.1403, 0.3440), (2, 0.1150, 0.2887)):
        ranks = rank[is_rec & (fields["target_split"][evaluated] == split)]
        gains = np.where(ranks <= 5, 1 / np.log2(ranks + 1), 0)
        # A standard error of 0.002 and 0.003 from the draw of the negatives.
        assert np.mean(gains) == pytest.approx(ndcg_at_5, abs=0.005)
        assert np.mean(ranks <= 10) == pytest.approx(hit_at_10, abs=0.008)
