"""Jobs on paths that are not local; TensorFlow's file system in memory stands in."""

import gzip

import pytest
from handmade_logs import ITEM_COLUMNS, ITEMS, SHOP, frame, write_as
from support.records import records_by_user

import sar_tf
from pipelines.common import job
from pipelines.logs.__main__ import main
from sar_tf.data.dataset_info import DatasetInfo
from sar_tf.files import WriteError
from sar_tf.paths import as_path

ENGINES = {
    "local": (),
    "beam": ("--engine=beam", "--runner=DirectRunner"),
}
BAD = "bob,yesterday,click,p3,,\n"


def build(output_dir, events, items, *flags):
    flags = [*flags, f"--events.files={events}", f"--output_dir={output_dir}"]
    if items is not None:
        flags.append(f"--items.files={items}")
        flags += [f"--{name}={value}" for name, value in ITEM_COLUMNS.items()]
    main([*flags, "--num_negatives=1", "--max_bad_fraction=0.3"])
    return as_path(output_dir)


@pytest.fixture
def logs(request):
    """The events in two files, one of them gzip'd, and the items, in memory."""
    folder = as_path(f"ram://{request.node.name}".translate({91: "-", 93: None}))
    header, *rows = SHOP.splitlines(keepends=True)
    (folder / "events").mkdir()
    (folder / "events" / "a.csv").write_text(header + "".join(rows[:4]))
    rest = header + "".join(rows[4:]) + BAD
    (folder / "events" / "b.csv.gz").write_bytes(gzip.compress(rest.encode()))
    (folder / "items.csv").write_text(ITEMS)
    return folder


@pytest.mark.parametrize("engine", ENGINES)
def test_remote_logs_become_the_dataset_of_the_local_ones(engine, logs, tmp_path):
    if engine == "beam":
        pytest.importorskip("apache_beam", reason="Apache Beam is not installed")
    tables = logs / "events" / "*.csv*", logs / "items.csv"
    remote = build(logs / "made" / "data", *tables, *ENGINES[engine])
    items = write_as(tmp_path, "items.csv", ITEMS)
    local = build(tmp_path / "data", write_as(tmp_path, "e.csv", SHOP + BAD), items)
    assert records_by_user(remote) == records_by_user(local)
    one, other = DatasetInfo.load(local), DatasetInfo.load(remote)
    assert (other.tables, other.targets) == (one.tables, one.targets)
    other.verify_tables(remote)
    assert "bad time in time" in (remote / "rejects.csv").read_text()
    assert [path.name for path in remote.parent.iterdir()] == ["data"]
    assert {path.name for path in remote.iterdir()} - {"rejects.csv"} == {
        "dataset_info.json",
        "vocabularies",
        *(entry["file"] for entry in other.tables if "/" not in entry["file"]),
        *(shard["file"] for shard in other.shards),
    }
    with pytest.raises(SystemExit, match="already holds files"):
        build(remote, *tables)


def test_parquet_and_pandas(logs):
    sar_tf.write_dataset(frame(), output_dir=logs / "pandas", num_negatives=1)
    with (logs / "e.parquet").open("wb") as file:
        frame().to_parquet(file)
    parquet = build(logs / "parquet", logs / "e.parquet", None)
    assert records_by_user(logs / "pandas") == records_by_user(parquet)


def test_a_failed_job_leaves_nothing(logs, monkeypatch):
    flags = [f"--events.files={logs / 'events'}", f"--output_dir={logs / 'bad'}"]
    with pytest.raises(SystemExit, match=r"bad.rejects.csv"):
        main(flags)
    assert "yesterday" in (logs / "bad.rejects.csv").read_text()
    (logs / "bad.rejects.csv").unlink()

    def fail(source, target):
        if target.name == job.LAST:
            assert (target.parent / "queries.npz").exists()
            raise WriteError("full")
        return copy(source, target)

    copy = job.copy_file
    monkeypatch.setattr(job, "copy_file", fail)
    with pytest.raises(SystemExit, match="full"):
        build(logs / "out", logs / "events", None)
    assert sorted(path.name for path in logs.iterdir()) == ["events", "items.csv"]
