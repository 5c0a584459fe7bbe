import os
import random
import signal
import subprocess
import sys

import pytest
from handmade_kuaisar import build, contents, handmade

from pipelines import simulate
from sar_tf.data.dataset_info import DatasetError, DatasetInfo


def test_layout_of_the_columns_and_pieces_does_not_matter(
    dataset_dir, tmp_path, monkeypatch
):
    """KuaiSAR-small and the full set: other columns, orders, number formats, ends."""
    logs = handmade()
    shuffle = random.Random(1).shuffle
    for rows in (logs.rec, logs.search, logs.items, logs.users):
        columns = list(rows[0])
        shuffle(columns)
        for index, row in enumerate(rows):
            rows[index] = {name: row[name] for name in columns} | {"more": '"a,b"'}
    for row in logs.rec:
        row |= {"timestamp": int(row["timestamp"]), "click": float(row["click"])}
    input_dir = logs.write(tmp_path / "logs")
    for path in input_dir.iterdir():
        path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").rstrip())
    monkeypatch.setattr("pipelines.common.lines.PIECE_BYTES", 500)
    assert contents(build(input_dir, tmp_path, command="the command")) == contents(
        dataset_dir
    )


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    input_dir = tmp_path_factory.mktemp("simulated") / "logs"
    simulate.write_logs(input_dir, num_users=150, num_items=400, rows_per_user=100)
    return input_dir


def test_seed_decides_every_byte_and_processes_none(simulated, tmp_path, monkeypatch):
    size = sum(
        (simulated / f"{log}_inter.csv").stat().st_size for log in ("rec", "src")
    )
    monkeypatch.setattr("pipelines.kuaisar.local.PART_BYTES", size // 4 + 1)
    first = contents(build(simulated, tmp_path, "first"))
    assert sum(name.endswith(".tfrecord") for name in first) == 4
    with monkeypatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)
        assert contents(build(simulated, tmp_path, "one-process")) == first
        other = contents(build(simulated, tmp_path, "other", seed=2))
    changed = {name for name in first if other[name] != first[name]}
    assert all(name.endswith((".tfrecord", "info.json")) for name in changed)
    assert len(changed) == 5


def test_simulated_logs_keep_most_users_and_items(simulated, tmp_path):
    info = DatasetInfo.load(build(simulated, tmp_path))
    assert info.num_users > 0.8 * 150
    assert info.num_items > 0.8 * 400
    assert min(min(counts.values()) for counts in info.targets.values()) > 0


def test_killed_job_leaves_no_dataset_and_runs_again(simulated, tmp_path, repository):
    output_dir = tmp_path / "out"
    flags = [f"--input_dir={simulated}", f"--output_dir={output_dir}"]
    killed_before_the_info = (
        "import os, signal\n"
        "from pipelines.kuaisar import __main__, local\n"
        "from sar_tf.data.dataset_info import DatasetInfo\n"
        "local.PART_BYTES = 200_000\n"  # So that there are several processes.
        "DatasetInfo.save = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "__main__.main()\n"
    )
    # Reading its output to the end takes as long as one of its processes lives.
    process = subprocess.run(
        [sys.executable, "-c", killed_before_the_info, *flags],
        cwd=repository,
        capture_output=True,
        timeout=120,
    )

    assert process.returncode == -signal.SIGKILL
    staging = tmp_path / ".partial-out"
    assert list(staging.glob("users-*"))  # It was killed while writing.
    assert not output_dir.exists()
    with pytest.raises(DatasetError, match="not finished"):
        DatasetInfo.load(staging)
    command = [sys.executable, "-m", "pipelines.kuaisar", *flags]
    subprocess.run(command, check=True, cwd=repository)
    assert not staging.exists()
    DatasetInfo.load(output_dir).verify_shards(output_dir)
