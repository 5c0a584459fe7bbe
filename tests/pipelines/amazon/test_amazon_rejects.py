import csv
import gzip

from handmade_amazon import (
    HIERARCHIES,
    REVIEWS,
    START,
    append,
    build,
    fails,
    layout_2014,
    write_lines,
)

from sar_tf.data.dataset_info import DatasetInfo

REPEATED = "repeated review"
IMPLAUSIBLE = "implausible unixReviewTime"
FAR = "unixReviewTime far from all others"
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
    ('{"reviewerID": "u1", "asin": "i1", "unixReviewTime": 1000000010}', REPEATED),
    ('{"reviewerID": "w", "asin": "i1", "unixReviewTime": 4200000000}', IMPLAUSIBLE),
    ('{"reviewerID": "w", "asin": "i1", "unixReviewTime": 1000000010000}', IMPLAUSIBLE),
    ('{"reviewerID": "w", "asin": "i1", "unixReviewTime": 20}', IMPLAUSIBLE),
    ('{"reviewerID": "w", "asin": "i1", "unixReviewTime": 1100000000}', FAR),
]
BAD_METADATA = [
    ("{'asin': 'i1', 'categories': [['Beauty', 'Hair']", "not an object"),
    ("{'asin': 'i1', 'categories': __import__('os')}", "not an object"),
    ("{'categories': [['Beauty', 'Hair']]}", "no asin"),
    ("{'asin': 'i1', 'categories': 'Beauty'}", "categories are no list"),
    ("{'asin': 'i1', 'categories': [['Beauty', 5]]}", "categories are no lists of"),
    ("{'asin': 'i1', 'categories': [['A', 'B']]}", "item described twice, differently"),
]


def test_malformed_rows_are_listed_by_reason_and_change_nothing(
    dataset_dir, tmp_path, capfd
):
    reviews, metadata = layout_2014(tmp_path)
    append(reviews, [line for line, _ in BAD_REVIEWS])
    append(metadata, [line for line, _ in BAD_METADATA])

    dirty_dir = build((reviews, metadata), tmp_path / "out", max_bad_fraction=0.7)

    lines = [line.split() for line in capfd.readouterr().err.splitlines()]
    assert ["reviews.json.gz", "146", "19"] in lines
    assert ["implausible", "unixReviewTime", "3"] in lines
    assert ["kept", "122", "125", "127"] in lines
    assert ["items", "without", "a", "search", "query", "122"] in lines
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
            assert reason in (REPEATED, IMPLAUSIBLE, FAR) or row["text"] == text[:200]
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
    assert "empty is no reviews file" in fails((empty, metadata), out)
    assert "cut short or damaged after line" in fails((cut, metadata), out)
    assert "same product category" in fails((reviews, alien), out)


def test_catalogue_too_small_for_the_negatives_says_what_to_do(tmp_path):
    files = layout_2014(tmp_path, reviews=REVIEWS[:7])

    assert "give the job a log with more items" in fails(files, tmp_path / "out")


def test_times_in_another_unit_and_empty_splits_are_one_error(tmp_path):
    later = [(user, item, time * 1000) for user, item, time in REVIEWS]
    milliseconds = [(user, item, time + 999 * START) for user, item, time in later]
    message = fails(layout_2014(tmp_path, milliseconds), tmp_path / "out")
    assert "127 of 127 times in 'unixReviewTime' look like milliseconds" in message
    assert "the job reads seconds" in message

    files = layout_2014(tmp_path, REVIEWS[7:] + REVIEWS[3:4])
    message = fails(files, tmp_path / "out")
    assert "no target falls into train and validation and test" in message
    assert "--allow_empty_splits" in message
    build(files, tmp_path / "out", allow_empty_splits=True)


def test_byte_order_mark_in_front_of_a_file(dataset_dir, tmp_path):
    files = []
    for path in layout_2014(tmp_path):
        files.append(path.with_suffix(""))
        files[-1].write_bytes(b"\xef\xbb\xbf" + gzip.decompress(path.read_bytes()))
    marked_dir = build(files, tmp_path / "out")
    assert not (marked_dir / "rejects.csv").exists()
    shards = [DatasetInfo.load(path).shards for path in (marked_dir, dataset_dir)]
    assert shards[0] == shards[1]
