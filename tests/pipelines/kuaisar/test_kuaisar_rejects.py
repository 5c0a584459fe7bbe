import pandas as pd
import pytest
from handmade_kuaisar import build, contents, handmade, ms

from pipelines.common import job
from pipelines.kuaisar.__main__ import main

YEAR = 365 * 24 * 3_600_000
BAD_ROWS = {
    "bad number in item_id": ("rec_inter", "7,x,0.0,1685577600000.0,1"),
    "bad number in user_id": ("rec_inter", ",1001,0.0,1685577600000.0,1"),
    "bad number in click": ("rec_inter", "7,1001,0.0,1685577600000.0,2"),
    "bad number in timestamp": ("rec_inter", "7,1001,0.0,soon,1"),
    "negative time in timestamp": ("rec_inter", "7,1001,0.0,-5.0,1"),
    "implausible time in timestamp": (
        "rec_inter",
        f"7,1001,0,{1000 * ms('05 08:00:00')},0",
    ),
    "implausible time in search_session_timestamp": (
        "src_inter",
        "7,83,4102444800000,[1],HISTORY,1001,1,P",
    ),
    "time far from all others": (
        "rec_inter",
        f"7,1001,0.0,{ms('05 08:00:00') + 3 * YEAR},0",
    ),
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
        "901,50,1685577600000,[1],HISTORY,1001,1,PHOTO",
    ),
    "repeated click": ("rec_inter", f"7,1010,0.0,{ms('08 23:59:59.999')},1"),
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


def test_table_of_malformed_rows_alone_says_so(tmp_path):
    logs = handmade()
    for row in logs.items:
        row["caption"] = "none"
    with pytest.raises(
        job.UserError,
        match=r"110 of 110 .*bad list in caption: 110.*no well-formed row",
    ):
        build(logs, tmp_path, max_bad_fraction=1.0)
    assert len(pd.read_csv(tmp_path / "dataset.rejects.csv")) == 110


def test_most_rows_decide_whose_session_it_is(dataset_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.common.lines.PIECE_BYTES", 100)
    logs = handmade()
    # In front of the two rows of user 7; the sessions 51 of one row each are a draw.
    logs.search.insert(0, logs.search[-1] | {"user_id": 901, "search_session_id": 50})
    logs.search.append(logs.search[-4] | {"user_id": 901})
    dirty = build(logs, tmp_path, max_bad_fraction=0.5, command="the command")

    rejects = pd.read_csv(dirty / "rejects.csv")
    assert set(rejects["reason"]) == {"session id of another user"}
    assert rejects["text"].tolist() == ["user 901, session 50", "user 901, session 51"]
    assert rejects["line"].tolist() == [2, 2 + len(logs.search) - 1]
    files = contents(dirty)
    del files["rejects.csv"]
    assert files == contents(dataset_dir)


@pytest.mark.parametrize("piece_bytes", [1000, 8 << 20])
def test_rows_far_in_time_of_both_logs_are_dropped(
    piece_bytes, dataset_dir, tmp_path, monkeypatch
):
    monkeypatch.setattr("pipelines.common.lines.PIECE_BYTES", piece_bytes)
    logs = handmade()
    far = ms("05 08:00:00") - 3 * YEAR
    logs.rec.insert(300, logs.rec[0] | {"timestamp": far, "user_id": 7, "click": 1})
    session = {"search_session_id": 7001, "search_session_timestamp": far}
    logs.search.insert(2, logs.search[0] | session)
    dirty = build(logs, tmp_path, max_bad_fraction=0.2, command="the command")

    rejects = pd.read_csv(dirty / "rejects.csv")
    rows = zip(rejects["source"], rejects["line"], rejects["reason"], strict=True)
    assert list(rows) == [
        ("rec_inter.csv", 302, "time far from all others"),
        ("src_inter.csv", 4, "time far from all others"),
    ]
    files = contents(dirty)
    del files["rejects.csv"]
    assert files == contents(dataset_dir)


def test_times_in_another_unit_are_one_error(tmp_path):
    logs = handmade()
    for row in logs.search:
        row["search_session_timestamp"] //= 1000
    with pytest.raises(
        job.UserError,
        match=r"src_inter.csv: 11 of 11 times in 'search_session_timestamp' look like "
        "seconds, but the job reads milliseconds",
    ):
        build(logs, tmp_path)


def test_log_whose_splits_are_empty_says_so(tmp_path):
    logs = handmade()
    logs.add_rec(901, "30 09:30:00", 1001)
    with pytest.raises(
        job.UserError,
        match=r"into validation and test .*train \d+,.* ends on 2023-06-30\)",
    ):
        build(logs, tmp_path)
    build(logs, tmp_path, "allowed", allow_empty_splits=True)


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
        main(argv)
    path.write_text(header)
    with pytest.raises(SystemExit, match=rf"{name} holds no rows"):
        main(argv)
    path.unlink()
    with pytest.raises(SystemExit, match=rf"{name}: no such file"):
        main(argv)
    assert not (tmp_path / "out").exists()


def test_log_without_a_user_to_keep_says_so(tmp_path):
    logs = handmade()
    logs.search = [logs.search[0]]
    logs.rec = [row for row in logs.rec if row["user_id"] != 901]
    with pytest.raises(job.UserError, match="no user is left"):
        build(logs, tmp_path)


def test_all_missing_files_and_columns_are_one_line(tmp_path):
    input_dir = handmade().write(tmp_path / "logs")
    (input_dir / "user_features.csv").unlink()
    path = input_dir / "rec_inter.csv"
    path.write_text(path.read_text().replace("click", "x").replace("timestamp", "t"))
    with pytest.raises(
        job.UserError,
        match=r"user_features.csv: no such file.*rec_inter.csv has no columns "
        "'timestamp', 'click'",
    ):
        build(input_dir, tmp_path)
    with pytest.raises(job.UserError, match=r"^--input_dir .*gone: no such folder$"):
        build(tmp_path / "gone", tmp_path)


def test_log_of_malformed_rows_alone_says_so(tmp_path):
    input_dir = handmade().write(tmp_path / "logs")
    path = input_dir / "src_inter.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *(f'"{row}' for row in rows)]))
    with pytest.raises(
        job.UserError, match=r"src_inter.csv: 11 of 11 .*unclosed quote: 11.*no well-fo"
    ):
        build(input_dir, tmp_path, max_bad_fraction=1.0)
