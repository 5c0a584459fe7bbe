"""Rules, options and errors of the job."""

import csv

import pytest
from handmade_logs import SHOP, rows, write_as
from test_logs_dataset import build, fields, records

import sar_tf
from pipelines.common.job import UserError
from pipelines.logs.__main__ import main
from sar_tf.data.dataset_info import DatasetInfo


def test_malformed_rows_are_listed(tmp_path):
    bad = (
        "ann,yesterday,click,p1,,\n"
        ",2024-05-01 10:00,click,p1,,\n"
        "ann,2024-05-01 10:00,click,,,\n"
        "ann,2024-05-01 10:00,search,,,p1\n"
        "ann,1970-05-01 10:00,click,p1,,\n"
        "ann,2024-05-01 09:05,click,p3,,\n"
        "ann,1995-05-01 10:00,click\n"
        'ann,2024-05-01 10:00,"click,p1,,\n'
        "ann,2024-05-01 10:00,refund,p1,,\n"
        "ann,2024-05-01 10:00,click,p\r1,,\n"
    )
    made = build(tmp_path, write_as(tmp_path, "events.csv", SHOP + bad))
    with open(made / "rejects.csv", newline="") as file:
        found = {int(row["line"]): row["reason"] for row in csv.DictReader(file)}
    assert found == {
        12: "bad time in time",
        13: "no user",
        14: "no item",
        15: "no query",
        16: "implausible time in time",
        17: "repeated click",
        18: "wrong number of fields",
        19: "unclosed quote",
        21: "carriage return outside of quotes",
    }
    clean = tmp_path / "clean"
    clean.mkdir()
    expected = records(build(clean, write_as(clean, "events.csv", SHOP)))[0]
    assert records(made)[0] == expected


def test_too_many_malformed_rows_fail(tmp_path):
    text = SHOP + "ann,yesterday,click,p1,,\n" * 12
    with pytest.raises(UserError, match=r"events.csv: 12 of 22 rows are malformed"):
        build(tmp_path, write_as(tmp_path, "events.csv", text))
    assert (tmp_path / "dataset.rejects.csv").exists()
    assert not (tmp_path / "dataset").exists()


@pytest.mark.parametrize(
    ("split", "zone", "expected"),
    [
        ("last_days=1,1", "UTC", [0, 1, 2]),
        ("by_time=2024-05-02T12:40,2024-05-03T08:20", "UTC", [0, 1, 1]),
        # The log ends at 20:00 of May 3, May 4 in Tokyo; May 3 begins there at 15:00
        # of May 2.
        ("last_days=1,1", "Asia/Tokyo", [0, 1, 1]),
    ],
)
def test_splits(tmp_path, split, zone, expected):
    events = tmp_path / "events.csv"
    zoned = [
        {**row, "time": row["time"].replace(" ", "T") + ":00Z"} for row in rows(SHOP)
    ]
    with open(events, "w", newline="") as file:
        writer = csv.DictWriter(file, zoned[0])
        writer.writeheader()
        writer.writerows(zoned)
    made = build(tmp_path, events, split=split, time_zone=zone)
    assert fields(records(made)[0]["ann"])["target_split"] == expected


def test_users_of_one_behavior_and_rare_words(tmp_path):
    text = SHOP + "dan,2024-05-01 07:00,click,p2,,\n"
    events = write_as(tmp_path, "events.csv", text)
    made = build(tmp_path, events, keep="both", min_word_count=2)
    found, dataset = records(made)
    assert list(found) == ["ann", "bob", "cem"]
    assert dataset.vocabulary("word") == ["coat", "shoes"]
    # The words of "red shoes" and of "rain coat, blue" that are not rare.
    assert fields(found["ann"])["query_words"] == [2, 1]


def test_k_core(tmp_path):
    text = SHOP + "".join(
        f"eve,2024-05-0{day} 07:00,click,p{item},,\n"
        for day, item in enumerate((7, 8, 7, 8), start=1)
    )
    # p3, p5 and p6 are clicked once; then cem has one interaction left.
    made = build(tmp_path, write_as(tmp_path, "e.csv", text), min_interactions=2)
    found, dataset = records(made)
    assert sorted(found) == ["ann", "bob", "eve"]
    assert dataset.vocabulary("item") == ["p1", "p2", "p4", "p7", "p8"]


def test_no_search_at_all_trains_sasrec(tmp_path):
    text = "".join(
        line for line in SHOP.splitlines(keepends=True) if ",search," not in line
    )
    events = write_as(
        tmp_path,
        "events.csv",
        text + "cem,2024-05-03 07:00,click,p6,,\nbob,2024-05-04 20:00,click,p2,,\n",
    )
    with pytest.raises(UserError, match="have no search at all, so --keep=both"):
        build(tmp_path, events, keep="both")
    made = build(tmp_path, events)
    data = sar_tf.open_dataset(made, batch_size=4, tasks=("rec",))
    model = sar_tf.models.SASRec(data.spec, data.tables, hidden_dim=4)
    model.compile("adam")
    model.fit(data.train(), epochs=1, verbose=0)


def test_no_recommendation_at_all_trains_qem(tmp_path):
    lines = SHOP.splitlines(keepends=True)
    text = "".join(line for line in lines if ",click," not in line)
    text += (
        "bob,2024-05-03 12:30,search,,coat,p4\nbob,2024-05-04 12:30,search,,hat,p3\n"
        "bob,2024-05-05 12:30,search,,coat,p2\n"
    )
    made = build(tmp_path, write_as(tmp_path, "events.csv", text))
    assert DatasetInfo.load(made).targets["rec"] == {
        "train": 0,
        "validation": 0,
        "test": 0,
    }
    data = sar_tf.open_dataset(made, batch_size=4, tasks=("search",))
    model = sar_tf.models.QEM(data.spec, data.tables)
    model.compile("adam")
    model.fit(data.train(), epochs=1, verbose=0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_negatives": 99}, "needs 99 negatives, but there are 6 items"),
        ({"events.user": "who"}, "no column 'who' \\(--events.user\\)"),
        ({"split": "random"}, "--split=random: must be"),
        ({"time_zone": "Mars"}, "--time_zone 'Mars': no such zone"),
        ({"event.user": "user"}, "unknown setting 'event.user'; did you mean"),
        ({"events.files": "missing.csv"}, "missing.csv: no such file"),
        ({"min_interactions": 9}, "no user is left"),
        ({"split": "by_time=2030-01-01,2031-01-01"}, "validation and test"),
    ],
)
def test_errors_are_one_line(tmp_path, values, message):
    events = write_as(tmp_path, "events.csv", SHOP)
    with pytest.raises(UserError, match=message) as error:
        build(tmp_path, events, **values)
    assert "\n" not in str(error.value)


def test_describe_writes_a_toml_that_the_job_reads(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_as(tmp_path, "events.csv", SHOP)
    main(["--events.files=events.csv", "--describe=shop.toml", "--num_negatives=2"])
    text = capsys.readouterr().out
    assert "user: user" in text and "clicked: clicked_items" in text
    assert "recommendations are click; searches are search" in text
    assert "user 'ann' clicked 'p3' at 2024-05-01T09:05" in text
    main(["--config=shop.toml", "--output_dir=made"])
    clean = tmp_path / "clean"
    clean.mkdir()
    expected = records(build(clean, tmp_path / "events.csv"))[0]
    assert records(tmp_path / "made")[0] == expected
    with pytest.raises(SystemExit, match=r"shop.toml exists"):
        main(["--events.files=events.csv", "--describe=shop.toml"])


def test_other_types_and_unclicked_rows(tmp_path, capfd):
    lines = SHOP.replace("clicked_items", "clicked_items,click").splitlines()
    text = "\n".join([lines[0], *(f"{line},1" for line in lines[1:])])
    text += "\nann,2024-05-02 10:00,click,p5,,,0\nann,2024-05-02 10:00,refund,p5,,,1\n"
    found, _ = records(build(tmp_path, write_as(tmp_path, "events.csv", text)))
    assert fields(found["ann"])["item"] == [0, 3, 4, 0]
    assert "rows of type 'refund', which is not read" in capfd.readouterr().err
