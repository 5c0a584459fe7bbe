import io
import os

import numpy as np
import pytest

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.dataset_info import DatasetError
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.files import whole_file
from sar_tf.paths import RemotePath, as_path


def test_local_paths_are_those_of_pathlib(tmp_path):
    assert as_path(tmp_path) == tmp_path
    assert as_path(os.fspath(tmp_path)) == tmp_path


def test_remote_path_reads_writes_lists_and_renames():
    folder = as_path("ram://paths/folder/")
    (folder / "vocabularies").mkdir()
    (folder / "b.txt").write_bytes("first\nsécond".encode())
    content = io.BytesIO()
    np.savez(content, rows=np.arange(5))
    (folder / "a.npz").write_bytes(content.getvalue())

    assert isinstance(folder, RemotePath)
    assert os.fspath(folder) == str(folder) == "ram://paths/folder"
    assert (folder / "b.txt").name == "b.txt"
    assert (folder / "b.txt").parent == folder
    assert folder.is_dir() and not folder.is_file()
    assert (folder / "b.txt").is_file()
    assert (folder / "b.txt").stat().st_size == 13
    assert (folder / "b.txt").read_text() == "first\nsécond"
    with (folder / "a.npz").open("rb") as file, np.load(file) as arrays:
        assert arrays["rows"].tolist() == [0, 1, 2, 3, 4]
    assert list(folder.glob("*.npz")) == [folder / "a.npz"]
    assert (folder / "b.txt").relative_to(folder).as_posix() == "b.txt"
    (folder / "b.txt").replace(folder / "c.txt")
    assert not (folder / "b.txt").exists() and (folder / "c.txt").exists()
    (folder / "c.txt").unlink()
    with pytest.raises(FileNotFoundError):
        (folder / "c.txt").read_bytes()


def test_whole_file_on_a_remote_file_system():
    folder = as_path("ram://paths/whole")
    folder.mkdir()
    for text in ("old", "new"):
        with whole_file(folder / "info.json") as beside:
            beside.write_text(text)
    assert [path.name for path in folder.iterdir()] == ["info.json"]
    assert (folder / "info.json").read_text() == "new"


def test_file_system_without_a_plug_in_says_so():
    with pytest.raises(OSError, match="install the plug-in"):
        as_path("hdfs://cluster/file").read_bytes()


def test_remote_dataset_gives_the_batches_of_the_local_one(simulated_dataset):
    remote = as_path("ram://paths/dataset")
    for path in simulated_dataset.rglob("*"):
        target = remote / path.relative_to(simulated_dataset)
        if path.is_file():
            target.parent.mkdir()
            target.write_bytes(path.read_bytes())

    batches = []
    for folder in (simulated_dataset, "ram://paths/dataset"):
        pipeline = BatchPipeline(SequenceDataset.open(folder), batch_size=32, seed=1)
        batches.append(next(iter(pipeline.train_from(0))))
    for task in ("rec", "search"):
        for name, values in batches[0][task].items():
            np.testing.assert_array_equal(values, batches[1][task][name], err_msg=name)
    local, copied = (
        SequenceDataset.open(folder).feature_tables(8)["item"]
        for folder in (simulated_dataset, remote)
    )
    assert local.keys() == copied.keys()
    for name, table in local.items():
        np.testing.assert_array_equal(table, copied[name])


def test_damaged_remote_dataset_names_its_file(simulated_dataset):
    remote = as_path("ram://paths/damaged")
    info = (simulated_dataset / "dataset_info.json").read_bytes()
    with pytest.raises(DatasetError, match="no such folder"):
        SequenceDataset.open(remote)
    remote.mkdir()
    (remote / "dataset_info.json").write_bytes(info)
    with pytest.raises(DatasetError, match=r"ram://paths/damaged/.* is missing"):
        SequenceDataset.open(remote)
