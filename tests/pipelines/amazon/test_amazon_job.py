import signal
import subprocess
import sys

import pytest
from handmade_amazon import build, layout_2014

from sar_tf.data.dataset_info import DatasetError, DatasetInfo


def test_seed_decides_every_byte(dataset_dir, tmp_path):
    files = layout_2014(tmp_path)
    same, other = build(files, tmp_path / "same"), build(files, tmp_path / "other", 2)

    def shards(directory):
        return [shard["sha256"] for shard in DatasetInfo.load(directory).shards]

    assert shards(same) == shards(dataset_dir)
    assert shards(other) != shards(dataset_dir)
    for name in ("popularity.npz", "queries.npz", "vocabularies/item.txt"):
        assert (same / name).read_bytes() == (dataset_dir / name).read_bytes()


def test_existing_dataset_is_not_overwritten(dataset_dir, tmp_path):
    before = (dataset_dir / "dataset_info.json").read_bytes()
    with pytest.raises(SystemExit, match="already holds files"):
        build(layout_2014(tmp_path), dataset_dir)
    assert (dataset_dir / "dataset_info.json").read_bytes() == before


def test_killed_job_leaves_no_dataset_and_runs_again(tmp_path, repository):
    files, output_dir = layout_2014(tmp_path), tmp_path / "out"
    killed_before_the_info = (
        "import os, signal\n"
        "from pipelines.amazon.__main__ import main\n"
        "from sar_tf.data.dataset_info import DatasetInfo\n"
        "DatasetInfo.save = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "main()\n"
    )
    flags = [f"--reviews={files[0]}", f"--metadata={files[1]}"]
    flags.append(f"--output_dir={output_dir}")

    process = subprocess.run(
        [sys.executable, "-c", killed_before_the_info, *flags], cwd=repository
    )

    assert process.returncode == -signal.SIGKILL
    staging = tmp_path / ".partial-out"
    assert list(staging.glob("users-*"))  # It was killed while writing.
    assert not output_dir.exists()
    with pytest.raises(DatasetError, match="not finished"):
        DatasetInfo.load(staging)
    command = [sys.executable, "-m", "pipelines.amazon", *flags]
    subprocess.run(command, check=True, cwd=repository)
    assert not staging.exists()
    DatasetInfo.load(output_dir).verify_shards(output_dir)
