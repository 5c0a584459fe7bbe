import json

import pytest

from sar_tf.training.run_directory import RunDirectory, RunDirectoryError


def test_a_new_folder_is_free(tmp_path):
    RunDirectory(tmp_path / "runs" / "new").require_free()
    RunDirectory(tmp_path).require_free()


def test_a_run_is_not_overwritten(tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.start("--seed=1\n")
    with pytest.raises(RunDirectoryError, match=r"already holds a run; .*--resume"):
        run.require_free()
    assert run.flags.read_text() == "--seed=1\n"


def test_a_file_is_no_folder(tmp_path):
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(RunDirectoryError, match="is a file"):
        RunDirectory(path).require_free()


def test_no_run_there(tmp_path):
    with pytest.raises(RunDirectoryError, match="holds no run"):
        RunDirectory(tmp_path).require_run()


def test_metrics(tmp_path):
    run = RunDirectory(tmp_path)
    run.write_metrics({"epoch": 3})
    run.write_metrics({"epoch": 4})
    assert json.loads(run.metrics.read_text()) == {"epoch": 4}
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]
