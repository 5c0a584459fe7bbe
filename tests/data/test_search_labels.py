"""What the losses of search read: pairs, words and similar items, of training alone."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from support.builders import make_record, search, write_dataset
from support.rows import read_epoch, targets_of, to_numpy

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.data.similar_items import draw_similar, index_groups, index_similar
from sar_tf.data.training_pairs import read_training_pairs
from sar_tf.data.words import cumulative_shares, draw_words, item_captions, word_counts

NEEDS = (
    "clicked_items",
    "item_words",
    "similar_items",
    "target_query",
    "target_user",
    "sampled_words",
)


def draw_of(groups, items, num_items, asked, seed=(1, 2)):
    pairs = np.array(groups, int), np.array(items, int)
    index = index_groups(*pairs, num_items)
    return draw_similar(index, tf.constant(asked, tf.int32), tf.constant(seed)).numpy()


def test_pairs_of_training_targets_alone(pipeline, records):
    """Every query and item of these records occurs once, so that it tells the split."""
    queries, items = read_training_pairs(pipeline.dataset)
    expected = [
        (record.query[record.target_behavior[target]], record.target_item[target])
        for record, target in targets_of(records[0], "search", "train")
    ]
    assert expected
    assert list(zip(queries, items, strict=True)) == expected


def test_words_are_counted_in_training_queries_and_captions(pipeline, records):
    pairs = read_training_pairs(pipeline.dataset)
    words = np.zeros(pipeline.dataset.info.num_words + 1, int)
    for query in pairs[0]:
        for word in records[2][query - 1]:
            words[word] += 1
    words[[1, 2]] += 1  # The caption of item 1, the only one.
    np.testing.assert_array_equal(word_counts(pipeline.dataset, pairs), words)
    all_queries = np.arange(1, pipeline.dataset.info.num_queries + 1)
    assert len(pairs[0]) < len(all_queries)
    every = word_counts(pipeline.dataset, (all_queries, all_queries))
    assert every.sum() > words.sum()


def test_words_are_drawn_by_their_counts():
    counts = np.array([0, 16, 0, 1, 81])
    shares = cumulative_shares(counts)
    np.testing.assert_allclose(shares, np.array([0, 8, 8, 9, 36]) / 36)
    drawn = draw_words(tf.constant(shares), 20_000, tf.constant([1, 2])).numpy()
    assert drawn.dtype == "int32"
    expected = 20_000 * np.array([0, 8, 0, 1, 27]) / 36
    found = np.bincount(drawn, minlength=5)
    # Five standard deviations of a binomial count.
    assert np.all(np.abs(found - expected) <= 5 * np.sqrt(expected))
    nothing = draw_words(tf.constant(cumulative_shares(np.zeros(3, int))), 4, (1, 2))
    np.testing.assert_array_equal(nothing, 0)


def test_a_similar_item_is_another_one_of_a_group():
    """Item 1 is in groups 1 and 3; item 6 is alone in its group, item 7 in none."""
    groups, items = [1, 1, 1, 3, 3, 2, 0, 1], [1, 2, 4, 1, 5, 6, 7, 2]
    asked = np.tile([0, 1, 2, 4, 5, 6, 7, 8], (4000, 1))
    drawn = draw_of(groups, items, 8, asked)
    allowed = [{0}, {2, 4, 5}, {1, 4}, {1, 2}, {1}, {0}, {0}, {0}]
    for column, expected in zip(drawn.T, allowed, strict=True):
        assert set(column) == expected
    # Half of item 1's by each of its groups.
    shares = np.bincount(drawn[:, 1], minlength=6) / 4000
    np.testing.assert_allclose(shares[[2, 4, 5]], [0.25, 0.25, 0.5], atol=0.05)
    again = draw_of(groups, items, 8, asked)
    np.testing.assert_array_equal(again, drawn)
    assert not np.array_equal(draw_of(groups, items, 8, asked, seed=(1, 3)), drawn)


def test_no_groups_have_no_similar_items():
    np.testing.assert_array_equal(draw_of([], [], 3, [[1, 3, 0]]), [[0, 0, 0]])


class _Categories:
    """A dataset of which only the items' features matter."""

    def __init__(self, **features):
        self.features = features
        self.info = dataclasses.make_dataclass("Info", ["num_items"])(5)

    def feature_tables(self, max_words):
        return {"item": {name: np.array(x) for name, x in self.features.items()}}


PAIRS = np.array([4, 4, 4, 9]), np.array([1, 2, 3, 3])


def similar_of(dataset):
    """The items that each of the items 1 to 5 may be replaced by."""
    index = index_similar(dataset, PAIRS)
    asked = tf.tile(tf.range(1, 6)[None], [200, 1])
    return [set(x) for x in draw_similar(index, asked, (3, 4)).numpy().T]


def test_the_deepest_known_category_is_an_items_group():
    """Items 1 and 2 share a second level, 3 and 4 a first one; 5 has no category."""
    dataset = _Categories(
        first_level_category_id=[0, 1, 2, 1, 1, 0],
        second_level_category_id=[0, 1, 1, 0, 0, 0],
    )
    assert similar_of(dataset) == [{2}, {1}, {4}, {3}, {0}]


@pytest.mark.parametrize("features", [{}, {"first_level_category_id": [[1, 2]] * 6}])
def test_else_training_queries_are(features):
    """A feature of several values is no category."""
    assert similar_of(_Categories(**features)) == [{2, 3}, {1, 3}, {1, 2}, {0}, {0}]


@pytest.fixture(scope="module")
def labelled(pipeline):
    """An epoch of search with labels, with one history group and with several."""
    options = {"tasks": ("search",), "needs": NEEDS}
    return {
        groups: read_epoch(dataclasses.replace(pipeline, num_groups=groups, **options))
        for groups in (1, 4)
    }


@pytest.mark.parametrize("num_groups", [1, 4])
def test_labels_belong_to_their_targets(labelled, records, num_groups):
    owner, words = {}, {}
    for record, target in targets_of(records[0], "search", "train"):
        behavior = record.target_behavior[target]
        item = int(record.target_item[target])
        owner[item] = record.user, record.query[behavior]
        words[item] = [1, 2] if item == 1 else []  # Only item 1 has a caption.
    seen = 0
    for batch in labelled[num_groups]:
        rows = batch["search"]
        for row in np.flatnonzero(rows["is_target"]):
            item = rows["candidates"][row, 0]
            found = rows["target_user"][row], rows["target_query"][row]
            assert found == owner[item]
            text = rows["item_words"][row]
            assert text[text > 0].tolist() == words[item]
            seen += 1
    assert seen == len(owner)


def test_a_text_is_the_query_where_items_have_no_captions(tmp_path):
    """Nothing but training's: word 3 and item 2 occur in a test target alone."""
    behaviors = [search(time, 1, [1], [1, 2]) for time in (1, 2)]
    behaviors.append(search(3, 2, [2], [3]))
    targets = [(0, "train", 1), (1, "train", 1), (2, "test", 2)]
    records = [make_record(user, behaviors, targets) for user in (1, 2)]
    write_dataset(tmp_path, records, 120, [[1, 2], [3]], captions=False)
    dataset = SequenceDataset.open(tmp_path)
    assert item_captions(dataset, 2) is None
    data = BatchPipeline(dataset, tasks=("search",), needs=NEEDS, num_sampled=50)
    (batch,) = to_numpy(data.train())
    np.testing.assert_array_equal(batch["search"]["item_words"], [[1, 2]] * 4)
    assert set(batch["search"]["sampled_words"]) == {1, 2}
    # Item 1 is the only one of its query.
    np.testing.assert_array_equal(batch["search"]["similar_items"], 0)


def test_labels_are_drawn_anew_in_each_step_and_repeat_with_the_seed(pipeline):
    data = dataclasses.replace(pipeline, tasks=("search",), needs=NEEDS)
    one, again = read_epoch(data), read_epoch(data)
    for first, second in zip(one, again, strict=True):
        for name in ("sampled_words", "similar_items"):
            np.testing.assert_array_equal(first["search"][name], second["search"][name])
    drawn = [batch["search"]["sampled_words"].tolist() for batch in one]
    assert drawn[0] != drawn[1]


def test_the_evaluation_has_no_labels(pipeline):
    data = dataclasses.replace(pipeline, tasks=("search",), needs=NEEDS)
    rows = next(iter(data.test()))["search"]
    assert rows.keys() == {"candidates", "history_row", "is_target"}
