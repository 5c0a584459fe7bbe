import os

import pytest
from handmade_kuaisar import build, contents, handmade, ms
from support.records import records_by_user
from test_kuaisar_rejects import BAD_ROWS, YEAR

from pipelines.common import job
from sar_tf.data.dataset_info import DatasetInfo

pytest.importorskip("apache_beam", reason="Apache Beam is not installed ([beam])")

BEAM = {"engine": "beam", "beam_flags": ["--runner=DirectRunner"]}


@pytest.fixture
def small(monkeypatch):
    """Pieces of some lines, parts of a few users, ranges of a few ids."""
    monkeypatch.setattr("pipelines.common.lines.PIECE_BYTES", 8000)
    monkeypatch.setattr("pipelines.common.beam_engine.PART_BYTES", 9000)
    monkeypatch.setattr("pipelines.common.beam_ids.SAMPLE_EVERY", 1)
    monkeypatch.setattr("pipelines.common.beam_counts.RANGE", 50)


def same(one_dir, other_dir):
    one, other = DatasetInfo.load(one_dir), DatasetInfo.load(other_dir)
    assert records_by_user(one_dir) == records_by_user(other_dir)
    assert other.tables == one.tables  # With their checksums.
    assert other.targets == one.targets and other.counts == one.counts
    assert other.features == one.features
    assert other.max_clicked_items == one.max_clicked_items
    return other


def test_the_direct_runner_gives_the_same_dataset(tmp_path, small, capfd):
    logs = handmade()
    for user in range(20, 45):
        logs.users.append(logs.users[0] | {"user_id": user, "onehot_feat1": user % 5})
        logs.add_rec(user, "03 10:00:00", *range(1001, 1003 + user % 6))
        logs.add_session(
            user, "04 10:00:00", 1000 + user, f"[{user % 9}]", "INPUT", {1020: 1}
        )
        logs.add_rec(user, "05 10:00:00", 1003)
    session = logs.search[-1] | {"user_id": 999}
    logs.search[:0] = [session, session]  # A foreign session, in another part.
    input_dir = logs.write(tmp_path / "logs")
    for name, row in BAD_ROWS.values():
        with open(input_dir / f"{name}.csv", "a") as file:
            file.write(f"{row}\r\n")
    far = ms("05 08:00:00") - 3 * YEAR
    with open(input_dir / "src_inter.csv", "a") as file:
        file.write(f"7,9001,{far},[1],HISTORY,1001,1,P\r\n")
    flags = {"max_bad_fraction": 0.5, "seed": 3}
    local = build(input_dir, tmp_path, "local", **flags)
    printed = [capfd.readouterr().err.partition("file ")[2]]
    beam = build(input_dir, tmp_path, "beam", **flags, **BEAM)
    printed.append(capfd.readouterr().err.partition("file ")[2])

    assert len(same(local, beam).shards) >= 3
    assert set(contents(beam)) >= {
        name for name in contents(local) if not name.startswith("users-")
    }
    lists = [(path / "rejects.csv").read_text() for path in (local, beam)]
    assert len(lists[0].splitlines()) == 1 + len(BAD_ROWS) + 2
    assert sorted(lists[0].splitlines()) == sorted(lists[1].splitlines())
    assert sorted(printed[0].split()) == sorted(printed[1].split())


def test_a_failed_pipeline_is_one_line_and_leaves_nothing(tmp_path):
    logs = handmade()
    for row in logs.search:
        row["search_session_timestamp"] //= 1000
    with pytest.raises(job.UserError, match="look like seconds"):
        build(logs, tmp_path, **BEAM)
    logs = handmade()
    logs.search = [logs.search[0]]
    logs.rec = [row for row in logs.rec if row["user_id"] != 901]
    with pytest.raises(job.UserError, match="no user is left"):
        build(logs, tmp_path, "none", **BEAM)
    assert not [name for name in os.listdir(tmp_path) if "partial" in name]
    assert not (tmp_path / "none").exists()
