"""Figures of a dataset: clicks, categories and predecessors by hand."""

import numpy as np
import pytest
from support.builders import make_record, rec, search, write_dataset

from sar_tf.data.dataset import SequenceDataset
from tools.figures.__main__ import make_parser
from tools.figures.categories import (
    Categories,
    category_shares,
    item_categories,
    share_categories,
)
from tools.figures.clicks import query_item_pairs, read_clicks
from tools.figures.histograms import csv_rows, make_histogram
from tools.figures.interests import js_divergence
from tools.figures.kinds import draw_predecessors
from tools.figures.predecessors import count_transitions, predecessors
from tools.results.collect import StudyError

# Items 1 and 2 are of category 1, items 3 and 4 of category 2, item 5 of none.
CATEGORIES = Categories("kind", np.array([[0], [1], [1], [2], [2], [0]]))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two users whose transitions are counted by hand."""
    folder = tmp_path_factory.mktemp("figures") / "dataset"
    folder.mkdir()
    one = [
        rec(1, 1),
        rec(2, 2),  # r2r, same category
        search(3, 1, clicked=[3, 4]),  # r2s, another; then s2s within it, same
        search(4, 2),  # without a click
        search(5, 1, clicked=[1]),  # s2s from item 4, another
        rec(6, 2),  # s2r, same
        rec(7, 5),  # no category: no pair, here and behind it
        rec(8, 3),
    ]
    # A search and a recommendation at one time: neither comes before the other.
    two = [search(1, 2, clicked=[4]), rec(1, 4), rec(2, 3)]  # r2r, same
    targets = [(0, "train", 1), (1, "validation", 2), (5, "test", 2)]
    records = [
        make_record(1, one, targets),
        make_record(2, two, [(0, "train", 4), (1, "validation", 4), (2, "test", 3)]),
    ]
    write_dataset(folder, records, num_items=120, queries=[[1], [2]])
    return SequenceDataset.open(folder)


def table(number):
    """The categories of a dataset's items, of which only the first five have any."""
    own = np.zeros((number, 1), np.int64)
    own[: len(CATEGORIES.table)] = CATEGORIES.table
    return Categories("kind", own)


def test_clicks_in_the_records_order(dataset):
    (clicks,) = read_clicks(dataset)
    assert clicks.item.tolist() == [1, 2, 3, 4, 1, 2, 5, 3, 4, 4, 3]
    assert clicks.user.tolist() == [1] * 8 + [2] * 3
    assert clicks.behavior.tolist() == [0, 1, 2, 2, 4, 5, 6, 7, 8, 9, 10]
    assert clicks.query.tolist() == [0, 0, 1, 1, 1, 0, 0, 0, 2, 0, 0]
    assert predecessors(clicks).tolist() == [-1, 0, 1, 2, 3, 4, 5, 6, -1, -1, 9]
    assert query_item_pairs(dataset).tolist() == [[1, 1], [1, 3], [1, 4], [2, 4]]


def test_transitions_by_hand(dataset):
    found = count_transitions(read_clicks(dataset), table(121))
    assert {one.name: (one.pairs, one.same) for one in found} == {
        "r2r": (2, 2),
        "s2r": (1, 1),
        "s2s": (2, 1),
        "r2s": (1, 0),
        "s2s, another search": (1, 0),
    }
    assert [one.share for one in found] == [1, 1, 0.5, 0, 0]


def test_files_of_predecessors(dataset, tmp_path):
    pytest.importorskip("matplotlib")
    options = make_parser().parse_args(["--category=query", f"--output={tmp_path}"])
    paths = draw_predecessors([str(dataset.dataset_dir)], options)
    # Query 1 is the category of items 1, 3 and 4, query 2 that of item 4 alone. Of the
    # pairs above, item 2 has none.
    assert paths[2].read_text().splitlines() == [
        "category,transition,pairs,same_category,share",
        "query,r2r,1,1,1.0",
        "query,s2r,0,0,",
        "query,s2s,2,2,1.0",
        "query,r2s,0,0,",
        'query,"s2s, another search",1,1,1.0',
    ]
    again = draw_predecessors([str(dataset.dataset_dir)], options)
    assert "<svg" in again[1].read_text() and again == paths
    with pytest.raises(StudyError, match="the folder of one dataset"):
        draw_predecessors(["a", "b"], options)


def test_categories_of_queries_and_of_features(dataset, simulated_dataset):
    own = item_categories(dataset)
    assert own.name == "query" and own.table[:6].tolist() == [
        [0, 0],
        [1, 0],
        [0, 0],
        [1, 0],
        [1, 2],
        [0, 0],
    ]
    simulated = SequenceDataset.open(simulated_dataset)
    found = item_categories(simulated)
    assert found.name == "first_level_category_id"
    assert found.table.shape == (simulated.info.num_items + 1, 1)
    with pytest.raises(StudyError, match=r"--category=color: .* name one of"):
        item_categories(simulated, "color")


def test_items_of_several_categories():
    own = np.array([[0, 0], [1, 2], [2, 3], [3, 0], [0, 0]])
    pairs = np.array([[1, 2], [1, 3], [2, 3], [4, 4]])
    assert share_categories(own, *pairs.T).tolist() == [True, False, True, False]
    # Items 1 and 3: half of item 1 for each of categories 1 and 2, all of 3.
    shares = category_shares(own, np.array([[1, 3, 0], [4, 0, 0]]))
    assert shares.tolist() == [[0, 0.25, 0.25, 0.5], [0, 0, 0, 0]]


def test_divergence_by_hand():
    p = np.array([[1, 0], [1, 0], [0.5, 0.5]])
    q = np.array([[1, 0], [0, 1], [1.0, 0]])
    # The last one: the mean is (3/4, 1/4), and
    # KL(p, m) = (log2(2/3) + log2(2)) / 2, KL(q, m) = log2(4/3).
    last = (np.log2(2 / 3) + 1) / 4 + np.log2(4 / 3) / 2
    np.testing.assert_allclose(js_divergence(p, q), [0, 1, last])


def test_histogram_by_hand():
    values = [-1, -0.5, 0, 0.4999, 1, 1 + 1e-7]
    one = make_histogram("a", "b", values, -1, 1, bins=4)
    assert one.counts.tolist() == [1, 1, 2, 2]
    assert one.mean == pytest.approx(0.4999 / 6 + 0.5 / 6)
    assert csv_rows([one])[1] == ["a", "b", -1.0, -0.5, 1, 0.1666666667, one.mean]
    assert np.isnan(make_histogram("a", "b", [], 0, 1).mean)
