import csv
import gzip
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from pipelines import amazon
from sar_tf.data.dataset_info import DatasetError, DatasetInfo
from sar_tf.data.schema import parse_records

NUM_FILLERS = 120  # Items of other users, so that 99 negatives can be drawn.

# User, item, time. By hand, in order of time: u1 takes i1, i2 and i3 (at the same
# time, in the order of the file), i4, i5; u2 takes i3, i1.
REVIEWS = [
    ("u1", "i5", 40),
    ("u1", "i2", 20),
    ("u1", "i3", 20),
    ("u2", "i1", 50),
    ("u1", "i1", 10),
    ("u1", "i4", 30),
    ("u2", "i3", 7),
    *((f"v{index:03d}", f"j{index:03d}", index) for index in range(NUM_FILLERS)),
]
# i4 has a hierarchy of one level alone, i5 is not in the metadata.
HIERARCHIES = {
    "i1": [["Camera, Photo", "Digital Camera Lenses"]],
    "i2": [["Beauty", "Hair"], ["Beauty", "The Skin of Hair"], ["Gift"]],
    "i3": [["Beauty", "Hair"]],
    "i4": [["Beauty"]],
}


def write_lines(path, lines):
    text = "".join(f"{line}\n" for line in lines)
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf-8") as file:
        file.write(text)
    return path


def layout_2014(folder, reviews=REVIEWS, hierarchies=HIERARCHIES):
    review_lines = [
        json.dumps(
            {"reviewerID": user, "asin": item, "overall": 5.0, "unixReviewTime": time}
        )
        for user, item, time in reviews
    ]
    metadata_lines = [
        str({"asin": item, "title": 'It\'s "new"', "price": 1.5, "categories": found})
        for item, found in hierarchies.items()
    ]
    return (
        write_lines(folder / "reviews.json.gz", review_lines),
        write_lines(folder / "meta.json.gz", metadata_lines),
    )


def layout_2018(folder):
    review_lines = [
        json.dumps({"asin": item, "reviewerID": user, "unixReviewTime": time})
        for user, item, time in REVIEWS
    ]
    metadata_lines = [
        json.dumps({"category": found[0], "title": "x", "asin": item})
        for item, found in HIERARCHIES.items()
    ]
    return (
        write_lines(folder / "reviews.json", review_lines),
        write_lines(folder / "meta.json.gz", metadata_lines + metadata_lines[:1]),
    )


def layout_2023(folder):
    review_lines = [
        json.dumps(
            {"user_id": user, "parent_asin": item, "asin": "v", "timestamp": time}
        )
        for user, item, time in REVIEWS
    ]
    metadata_lines = [
        json.dumps({"categories": found[0], "parent_asin": item})
        for item, found in HIERARCHIES.items()
    ]
    metadata_lines.append(json.dumps({"categories": [], "parent_asin": "i5"}))
    return (
        write_lines(folder / "reviews.jsonl", review_lines),
        write_lines(folder / "meta.jsonl.gz", metadata_lines),
    )


def build(files, output_dir, seed=1, max_bad_fraction=0.01):
    amazon.main(
        [
            f"--reviews={files[0]}",
            f"--metadata={files[1]}",
            f"--output_dir={output_dir}",
            f"--seed={seed}",
            f"--max_bad_fraction={max_bad_fraction}",
        ]
    )
    return output_dir


def fails(files, output_dir, **flags):
    """The one line that the job ends with."""
    with pytest.raises(SystemExit) as exit_:
        build(files, output_dir, **flags)
    message = str(exit_.value)
    assert "\n" not in message
    assert not output_dir.exists()
    leftovers = [name for name in os.listdir(output_dir.parent) if "partial" in name]
    assert leftovers == []
    return message


def parse(dataset_dir):
    """All records, and one user's part of a field."""
    info = DatasetInfo.load(dataset_dir)
    info.verify_shards(dataset_dir)
    paths = [str(dataset_dir / shard["file"]) for shard in info.shards]
    serialized = list(tf.data.TFRecordDataset(paths).as_numpy_iterator())
    fields = parse_records(tf.constant(serialized))
    return {name: field.numpy() for name, field in fields.items()}


def of_user(fields, user, name, rows):
    start, end = fields[f"{rows}_splits"][user - 1 : user + 1]
    if f"{name}_splits" not in fields or name == rows:
        return fields[name][start:end].tolist()
    splits = fields[f"{name}_splits"][start : end + 1]
    return [part.tolist() for part in np.split(fields[name], splits)[1:-1]]


def raw_ids(dataset_dir, name):
    text = (dataset_dir / "vocabularies" / f"{name}.txt").read_text()
    return dict(enumerate(text.splitlines(), start=1))


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("amazon")
    return build(layout_2014(folder), folder / "out")


def test_sequence_holds_a_search_before_each_click_that_has_a_query(dataset_dir):
    fields = parse(dataset_dir)
    items, words = raw_ids(dataset_dir, "item"), raw_ids(dataset_dir, "word")
    sequence = {
        name: of_user(fields, 1, name, "sequence")
        for name in ("type", "timestamp", "item", "query_words", "clicked_items")
    }

    assert sequence["type"] == [0, 1, 0, 1, 0, 1, 1, 1]
    assert sequence["timestamp"] == [10, 10, 20, 20, 20, 20, 30, 40]
    names = [items.get(item) for item in sequence["item"]]
    assert names == [None, "i1", None, "i2", None, "i3", "i4", "i5"]
    clicked = [[items[item] for item in row] for row in sequence["clicked_items"]]
    assert clicked == [["i1"], [], ["i2"], [], ["i3"], [], [], []]
    queries = [" ".join(words[word] for word in row) for row in sequence["query_words"]]
    assert queries[0] == "photo digital camera lenses"
    assert queries[2] in ("beauty hair", "beauty skin hair")
    assert queries[4] == "beauty hair"
    assert [queries[index] for index in (1, 3, 5, 6, 7)] == [""] * 5


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

    for name in ("type", "timestamp", "item", "target_item", "target_history_end"):
        np.testing.assert_array_equal(first[name], later[name], err_msg=name)
    assert DatasetInfo.load(later_dir).num_queries == 2  # One hierarchy an item.
    assert not (later_dir / "rejects.csv").exists()


def test_seed_decides_every_byte(dataset_dir, tmp_path):
    files = layout_2014(tmp_path)
    same, other = build(files, tmp_path / "same"), build(files, tmp_path / "other", 2)

    def shards(directory):
        return [shard["sha256"] for shard in DatasetInfo.load(directory).shards]

    assert shards(same) == shards(dataset_dir)
    assert shards(other) != shards(dataset_dir)
    for name in ("popularity.npz", "queries.npz", "vocabularies/item.txt"):
        assert (same / name).read_bytes() == (dataset_dir / name).read_bytes()


BAD_REVIEWS = [
    ('{"reviewerID": "u1", "asin": "i1"', "not an object"),
    ("[1, 2]", "not an object"),
    ('{"reviewerID": "u1", "asin": "i1"}', "no unixReviewTime"),
    ('{"asin": "i1", "unixReviewTime": 5}', "no reviewerID"),
    ('{"reviewerID": "u1", "asin": 5, "unixReviewTime": 5}', "bad asin"),
    ('{"reviewerID": "", "asin": "i1", "unixReviewTime": 5}', "bad reviewerID"),
    ('{"reviewerID": "u\\n1", "asin": "i1", "unixReviewTime": 5}', "bad reviewerID"),
    *(
        (f'{{"reviewerID": "u1", "asin": "i1", "unixReviewTime": {value}}}', reason)
        for value, reason in [
            ("-5", "negative unixReviewTime"),
            ('"5x"', "bad number in unixReviewTime"),
            ("5.5", "bad number in unixReviewTime"),
            ("NaN", "bad number in unixReviewTime"),
            ("Infinity", "bad number in unixReviewTime"),
            ("true", "bad number in unixReviewTime"),
            ("1" + "0" * 40, "bad number in unixReviewTime"),
        ]
    ),
    ('{"reviewerID": "u1", "asin": "i1", "unixReviewTime": 10}', "repeated review"),
]
BAD_METADATA = [
    ("{'asin': 'i1', 'categories': [['Beauty', 'Hair']", "not an object"),
    ("{'asin': 'i1', 'categories': __import__('os')}", "not an object"),
    ("{'categories': [['Beauty', 'Hair']]}", "no asin"),
    ("{'asin': 'i1', 'categories': 'Beauty'}", "categories are no list"),
    ("{'asin': 'i1', 'categories': [['Beauty', 5]]}", "categories are no lists of"),
    ("{'asin': 'i1', 'categories': [['A', 'B']]}", "item described twice, differently"),
]


def append(path, lines):
    with gzip.open(path, "at", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))


def test_malformed_rows_are_listed_by_reason_and_change_nothing(dataset_dir, tmp_path):
    reviews, metadata = layout_2014(tmp_path)
    append(reviews, [line for line, _ in BAD_REVIEWS])
    append(metadata, [line for line, _ in BAD_METADATA])

    dirty_dir = build((reviews, metadata), tmp_path / "out", max_bad_fraction=0.7)

    with open(dirty_dir / "rejects.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    listed = {(row["source"], int(row["line"])): row for row in rows}
    assert len(rows) == len(listed) == len(BAD_REVIEWS) + len(BAD_METADATA)
    for source, good, bad in (
        ("reviews.json.gz", len(REVIEWS), BAD_REVIEWS),
        ("meta.json.gz", len(HIERARCHIES), BAD_METADATA),
    ):
        for line, (text, reason) in enumerate(bad, start=good + 1):
            row = listed[source, line]
            assert row["reason"].startswith(reason)
            assert reason == "repeated review" or row["text"] == text[:200]
    shards = [DatasetInfo.load(path).shards for path in (dirty_dir, dataset_dir)]
    assert shards[0] == shards[1]


def test_too_many_malformed_rows_fail_the_job(tmp_path):
    reviews, metadata = layout_2014(tmp_path)
    append(reviews, ["{"] * 3 + [BAD_REVIEWS[2][0]])

    message = fails((reviews, metadata), tmp_path / "out")

    assert "reviews.json.gz: 4 of 131 rows are malformed" in message
    assert "(not an object: 3, no unixReviewTime: 1)" in message
    assert "--max_bad_fraction=0.01" in message
    assert (tmp_path / "out.rejects.csv").exists()


def test_metadata_of_items_without_reviews_is_passed_over(tmp_path):
    reviews, metadata = layout_2014(tmp_path)
    append(metadata, ["{'asin': 'never reviewed', 'categories': [['A', 'B']"] * 50)

    info = DatasetInfo.load(build((reviews, metadata), tmp_path / "out"))

    assert info.num_queries == 3


def test_unusable_input_is_one_line_that_names_it(tmp_path):
    reviews, metadata = layout_2014(tmp_path)
    out = tmp_path / "out"
    keyless = write_lines(tmp_path / "keyless", ['{"reviewerID": "u", "asin": "i"}'])
    empty = write_lines(tmp_path / "empty", [])
    alien = write_lines(
        tmp_path / "alien", ["{'asin': 'x', 'categories': [['A','B']]}"]
    )
    cut = tmp_path / "cut.json.gz"
    cut.write_bytes(reviews.read_bytes()[:-20])

    missing = fails((tmp_path / "no.json", metadata), out)
    assert "--reviews" in missing and "no.json: no such file" in missing
    assert "--metadata" in fails((reviews, tmp_path), out)
    message = fails((keyless, metadata), out)
    assert "keyless: its rows have no key 'unixReviewTime'" in message
    message = fails((reviews, reviews), out)
    assert "reviews.json.gz: its rows have no key 'categories'" in message
    assert "empty holds no object" in fails((empty, metadata), out)
    assert "cut short or damaged after line" in fails((cut, metadata), out)
    assert "same product category" in fails((reviews, alien), out)


def test_catalogue_too_small_for_the_negatives_says_what_to_do(tmp_path):
    files = layout_2014(tmp_path, reviews=REVIEWS[:7])

    assert "give the job a log with more items" in fails(files, tmp_path / "out")


def test_existing_dataset_is_not_overwritten(dataset_dir, tmp_path):
    before = (dataset_dir / "dataset_info.json").read_bytes()
    with pytest.raises(SystemExit, match="already holds files"):
        build(layout_2014(tmp_path), dataset_dir)
    assert (dataset_dir / "dataset_info.json").read_bytes() == before


def test_killed_job_leaves_no_dataset_and_runs_again(tmp_path, repository):
    files, output_dir = layout_2014(tmp_path), tmp_path / "out"
    killed_before_the_info = (
        "import os, signal\n"
        "from pipelines import amazon\n"
        "from sar_tf.data.dataset_info import DatasetInfo\n"
        "DatasetInfo.save = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "amazon.main()\n"
    )
    flags = [f"--reviews={files[0]}", f"--metadata={files[1]}"]
    flags.append(f"--output_dir={output_dir}")

    process = subprocess.run([sys.executable, "-c", killed_before_the_info, *flags])

    assert process.returncode == -signal.SIGKILL
    staging = tmp_path / ".out.partial"
    assert list(staging.glob("users-*"))  # It was killed while writing.
    assert not output_dir.exists()
    with pytest.raises(DatasetError, match="not finished"):
        DatasetInfo.load(staging)
    script = repository / "pipelines" / "amazon.py"
    subprocess.run([sys.executable, script, *flags], check=True, cwd=repository)
    assert not staging.exists()
    DatasetInfo.load(output_dir).verify_shards(output_dir)


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
