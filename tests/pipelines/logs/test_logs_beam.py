import os

import pytest
from handmade_logs import ITEM_COLUMNS, ITEMS, SHOP, write_as
from support.records import records_by_user

from pipelines.logs.__main__ import main
from sar_tf.data.dataset_info import DatasetInfo

pytest.importorskip("apache_beam", reason="Apache Beam is not installed ([beam])")

DIRECT = ("--engine=beam", "--runner=DirectRunner")
# Users with little, repeats, a time far from all others, a bad time, another type.
MORE = SHOP + "".join(
    f"u{user:02d},2024-05-{1 + row:02d} {user % 24:02d}:00,{kind},"
    f"{item},{query},{clicked}\n"
    for user in range(45)
    for row, (kind, item, query, clicked) in enumerate(
        [
            ("click", f"p{user % 9}", "", ""),
            ("search", "", f"word{user % 5} shoes", f"p{user % 4} p{user % 7}"),
            ("click", f"p{user % 5}", "", ""),
        ][: 1 + user % 3]
    )
)
BAD = """\
ann,2024-05-01 09:05,click,p3,,
bob,1999-05-01 09:05,click,p3,,
bob,yesterday,click,p3,,
bob,2024-05-01 09:06,view,p3,,
"""

# Users that the events do not have, one described twice, a bad number, several pieces.
USERS = "user,country,age,tags\n" + "".join(
    f"{user},{country},{age},{tags}\n"
    for user, country, age, tags in [
        *(
            (f"u{n:02d}", f"c{n % 4}", 20 + n * 7 % 30, "a|b" * (n % 3))
            for n in range(0, 60, 2)
        ),
        ("ann", "", "", "b|c|b"),
        ("ann", "c1", 3, ""),
        ("bob", "c9", "old", ""),
        ("cem", "c9", 3.5, ""),
    ]
)
USER_COLUMNS = {
    "users.categorical": "country",
    "users.numeric": "age",
    "users.multi": "tags",
    "users.buckets": 3,
}


@pytest.fixture
def small(monkeypatch):
    """Pieces of a few lines, parts of a few users, ranges of a few ids."""
    monkeypatch.setattr("pipelines.common.lines.PIECE_BYTES", 900)
    monkeypatch.setattr("pipelines.common.beam_engine.PART_BYTES", 1200)
    monkeypatch.setattr("pipelines.common.beam_ids.SAMPLE_EVERY", 1)
    monkeypatch.setattr("pipelines.common.beam_counts.RANGE", 3)


def build(output_dir, *flags):
    main([*flags, f"--output_dir={output_dir}", "--num_negatives=1", "--seed=4"])
    return output_dir


@pytest.mark.parametrize(
    "flags",
    [
        ("--keep=any", "--split=last_days=1,1", "--min_interactions=0"),
        ("--keep=both", "--min_interactions=3"),
    ],
)
def test_the_direct_runner_gives_the_same_dataset(flags, tmp_path, small, capfd):
    events = write_as(tmp_path, "e.csv.gz", MORE + BAD)
    items = write_as(tmp_path, "i.csv", ITEMS)
    flags = [
        *flags,
        f"--events.files={events}",
        f"--items.files={items}",
        f"--users.files={write_as(tmp_path, 'u.csv', USERS)}",
        *(f"--{name}={value}" for name, value in (ITEM_COLUMNS | USER_COLUMNS).items()),
        "--max_bad_fraction=0.2",
    ]
    local = build(tmp_path / "local", *flags)
    printed = [capfd.readouterr().err.partition("file ")[2]]
    beam = build(tmp_path / "beam", *flags, *DIRECT)
    printed.append(capfd.readouterr().err.partition("file ")[2])

    one, other = DatasetInfo.load(local), DatasetInfo.load(beam)
    assert len(other.shards) >= 4
    assert records_by_user(beam) == records_by_user(local)
    assert other.tables == one.tables
    assert other.targets == one.targets and other.counts == one.counts
    assert other.features == one.features
    assert other.split_rule == one.split_rule
    lists = [(path / "rejects.csv").read_text() for path in (local, beam)]
    assert len(lists[0].splitlines()) == 6
    assert sorted(lists[0].splitlines()) == sorted(lists[1].splitlines())
    assert sorted(printed[0].split()) == sorted(printed[1].split())


def test_two_tables(tmp_path, small):
    recs = "user,time,item\n" + "".join(
        f"u{user},2024-05-0{1 + row} 0{row}:30,p{(user + row) % 9}\n"
        for user in range(20)
        for row in range(3)
    )
    searches = "user,time,query,session,clicked\n" + "".join(
        f"u{user},2024-05-0{1 + row // 2} 10:00,{'red shoes' if row else ''},"
        f"s{row // 2},p{(user * row) % 9}\n"
        for user in range(20)
        for row in range(4)
    )
    flags = [f"--recs.files={write_as(tmp_path, 'r.tsv', recs)}"]
    path = tmp_path / "s.csv"
    path.write_text(searches)
    flags.append(f"--searches.files={path}")
    local = build(tmp_path / "local", *flags)
    beam = build(tmp_path / "beam", *flags, *DIRECT)
    assert records_by_user(beam) == records_by_user(local)
    assert DatasetInfo.load(beam).tables == DatasetInfo.load(local).tables


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--users.files={0}"], "malformed (user described twice: 2)"),
        (["--time_format=milliseconds"], "malformed"),
        (["--min_interactions=99"], "no user is left"),
        (["--runner=DirectRunner", "--nothing=1"], "has the flag --nothing=1"),
    ],
)
def test_a_failed_job_is_one_line_and_leaves_nothing(flags, message, tmp_path):
    events = write_as(tmp_path, "e.csv", SHOP)
    users = tmp_path / "u.csv"
    users.write_text("user,age\n" + "ann,3\n" * 3)
    flags = [flag.format(users) for flag in flags]
    with pytest.raises(SystemExit) as exit_:
        build(tmp_path / "out", f"--events.files={events}", *flags, "--engine=beam")
    assert message in str(exit_.value) and "\n" not in str(exit_.value)
    left = sorted(name for name in os.listdir(tmp_path) if "out" in name)
    assert left in ([], ["out.rejects.csv"])
