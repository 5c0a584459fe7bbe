import os
import shutil
import signal
import subprocess
import sys

import pytest
from handmade_amazon import (
    REVIEWS,
    append,
    build,
    layout_2014,
    layout_2018,
)
from support.records import records_by_user

from sar_tf.data.dataset_info import DatasetError, DatasetInfo


@pytest.mark.parametrize("layout", [layout_2014, layout_2018])  # gzip, and plain.
def test_small_pieces_and_many_parts_give_the_same_records(
    layout, tmp_path, monkeypatch
):
    files = layout(tmp_path)
    if layout is layout_2014:  # A repeat and a bad row, each in a later piece.
        user, item, time = REVIEWS[0]
        again = f'"reviewerID": "{user}", "asin": "{item}", "unixReviewTime": 10000000'
        append(files[0], [f"{{{again}{time}}}", "{"])
        append(files[1], ["{'asin': 'i1', 'categories': [['A', 'B']]}"])
    whole_dir = build(files, tmp_path / "whole", max_bad_fraction=0.5)
    # The size of a gzip file is estimated from its first piece.
    part_bytes = 60 if layout is layout_2014 else 2_000
    monkeypatch.setattr("pipelines.common.shuffle.PART_BYTES", part_bytes)
    monkeypatch.setattr("pipelines.amazon.reader.PIECE_BYTES", 300)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    small_dir = build(files, tmp_path / "small", max_bad_fraction=0.5)

    whole, small = DatasetInfo.load(whole_dir), DatasetInfo.load(small_dir)
    assert len(whole.shards) == 1 and len(small.shards) > 4
    assert records_by_user(small_dir) == records_by_user(whole_dir)
    assert small.tables == whole.tables
    rejects = [path / "rejects.csv" for path in (whole_dir, small_dir)]
    if layout is layout_2014:
        texts = [path.read_text().splitlines() for path in rejects]
        assert len(texts[0]) == 4 and sorted(texts[0]) == sorted(texts[1])


def test_a_second_job_in_a_process_reads_nothing_of_the_first(dataset_dir, tmp_path):
    """Both jobs have the same folders, one after the other."""
    output_dir = tmp_path / "out"
    other = [(user, item.replace("i", "k"), time) for user, item, time in REVIEWS[:7]]
    folder = tmp_path / "other"
    folder.mkdir()
    hierarchies = {"k1": [["Books", "Maps", "Atlases"]], "k3": [["Toys", "Kites"]]}
    build(layout_2014(folder, [*other, *REVIEWS[7:]], hierarchies), output_dir)
    shutil.rmtree(output_dir)
    build(layout_2014(tmp_path), output_dir)
    assert records_by_user(output_dir) == records_by_user(dataset_dir)


def test_several_processes_give_the_same_records(dataset_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.common.shuffle.PART_BYTES", 60)
    monkeypatch.setattr("pipelines.amazon.reader.PIECE_BYTES", 300)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    several_dir = build(layout_2014(tmp_path), tmp_path / "out")

    assert len(DatasetInfo.load(several_dir).shards) >= 4
    assert records_by_user(several_dir) == records_by_user(dataset_dir)


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
