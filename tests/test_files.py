import errno
import os

import pytest
import tensorflow as tf

from sar_tf.training.files import (
    WriteError,
    full_disk_named,
    remove_partial,
    whole_file,
)


def test_a_file_appears_when_complete(tmp_path):
    path = tmp_path / "file"
    for text in ("first", "second"):
        with whole_file(path) as beside:
            beside.write_text(text)
            assert not path.exists() or path.read_text() == "first"
    assert path.read_text() == "second"
    assert list(tmp_path.iterdir()) == [path]


def test_the_one_before_is_kept(tmp_path):
    path, previous = tmp_path / "file", tmp_path / "previous"
    for text in ("1", "2", "3"):
        with whole_file(path, previous) as beside:
            beside.write_text(text)
    assert (path.read_text(), previous.read_text()) == ("3", "2")


def test_what_goes_wrong_leaves_no_trace(tmp_path):
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


def test_leftovers_are_removed(tmp_path):
    for name in (".partial-file", "file"):
        (tmp_path / name).touch()
    remove_partial(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_tensorflow_finds_the_disk_full(tmp_path):
    # Every write to this device fails as on a full disk.
    with pytest.raises(WriteError) as raised, full_disk_named(tmp_path):
        tf.io.write_file("/dev/full", "x" * 100_000)
    expected = f"{tmp_path} cannot be written: No space left on device; "
    assert str(raised.value).startswith(expected)


def test_other_exhaustion_is_left_alone(tmp_path):
    with (
        pytest.raises(tf.errors.ResourceExhaustedError, match="OOM"),
        full_disk_named(tmp_path),
    ):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")
