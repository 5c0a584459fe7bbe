import errno
import os

import pytest

from sar_tf.files import WriteError, remove_partial, whole_file, whole_folder


def test_a_file_appears_when_complete(tmp_path):
    path = tmp_path / "file"
    for text in ("first", "second"):
        with whole_file(path) as beside:
            beside.write_text(text)
            assert not path.exists() or path.read_text() == "first"
    assert path.read_text() == "second"
    assert list(tmp_path.iterdir()) == [path]


def test_the_previous_file_is_kept(tmp_path):
    path, previous = tmp_path / "file", tmp_path / "previous"
    for text in ("1", "2", "3"):
        with whole_file(path, previous) as beside:
            beside.write_text(text)
    assert (path.read_text(), previous.read_text()) == ("3", "2")


def test_an_error_leaves_the_file_as_it_was(tmp_path):
    path, previous = tmp_path / "file", tmp_path / "previous"
    path.write_text("first")
    with pytest.raises(KeyError), whole_file(path, previous) as beside:
        beside.write_text("half")
        raise KeyError
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_the_error_names_the_file(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(WriteError) as raised, whole_file(path):
        raise OSError(errno.EDQUOT, "what HDF5 writes\nover many lines")
    reason = os.strerror(errno.EDQUOT)
    assert str(raised.value).startswith(f"{path} cannot be written: {reason}; ")


def test_unfinished_files_are_removed(tmp_path):
    for name in (".partial-file", "file"):
        (tmp_path / name).touch()
    remove_partial(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_appears_when_complete(tmp_path):
    path = tmp_path / "made" / "folder"
    with whole_folder(path) as beside:
        (beside / "inner").mkdir()
        (beside / "inner" / "file").write_text("x")
        assert not path.exists()
    assert (path / "inner" / "file").read_text() == "x"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_with_files_is_replaced_only_on_request(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").touch()
    with pytest.raises(OSError, match="not empty"), whole_folder(path) as beside:
        (beside / "new").touch()
    assert os.listdir(path) == ["old"]
    with whole_folder(path, replace=True) as beside:
        (beside / "new").touch()
    assert os.listdir(path) == ["new"]
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_no_folder(tmp_path):
    with pytest.raises(KeyError), whole_folder(tmp_path / "folder") as beside:
        (beside / "file").touch()
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_two_writers_of_one_folder(tmp_path):
    path = tmp_path / "folder"
    with whole_folder(path) as beside:
        (beside / "file").touch()
        with pytest.raises(WriteError, match=f"another process is writing {path}"):
            whole_folder(path).__enter__()
        assert (beside / "file").exists()
