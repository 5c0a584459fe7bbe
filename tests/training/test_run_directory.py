import json
import os
import subprocess
import sys

import numpy as np
import pytest

from sar_tf.files import WriteError, partial_path
from sar_tf.training import run_directory
from sar_tf.training.config import RunConfig
from sar_tf.training.run_directory import RunDirectory, RunDirectoryError


def test_a_new_folder_is_free(tmp_path):
    RunDirectory(tmp_path / "runs" / "new").require_free()
    RunDirectory(tmp_path).require_free()


def test_a_run_is_not_overwritten(tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.start(RunConfig(seed=3))
    with pytest.raises(
        RunDirectoryError, match=r"^run_dir=.* already holds a run; resume it"
    ):
        run.require_free()
    assert run.load_config() == RunConfig(seed=3)


def test_what_a_killed_start_leaves_is_free(tmp_path, monkeypatch):
    run = RunDirectory(tmp_path / "run")

    def killed(path, text):
        partial_path(path).write_text(text[:100])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_directory, "write_text", killed)
        with pytest.raises(KeyboardInterrupt), run.locked():
            run.start(RunConfig())
    run = RunDirectory(tmp_path / "run")
    run.require_free()
    run.start(RunConfig(seed=3))
    assert run.load_config() == RunConfig(seed=3)
    assert sorted(x.name for x in run.path.iterdir()) == [
        ".lock",
        "checkpoints",
        "config.json",
    ]


HOLD = """
import sys, time
from sar_tf.training.run_directory import RunDirectory
with RunDirectory(sys.argv[1]).locked():
    print("locked", flush=True)
    time.sleep(60)
"""


def test_two_processes_do_not_train_in_one_folder(tmp_path):
    command = [sys.executable, "-c", HOLD, tmp_path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as other:
        assert other.stdout.readline() == b"locked\n"
        with (
            pytest.raises(RunDirectoryError, match="another process works in this"),
            RunDirectory(tmp_path).locked(),
        ):
            pass
        other.kill()
    with RunDirectory(tmp_path).locked():  # A killed process holds nothing.
        pass


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(WriteError, match="file/run cannot be written: Not a directory"),
        RunDirectory(tmp_path / "file" / "run").locked(),
    ):
        pass


def test_a_file_is_no_folder(tmp_path):
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(RunDirectoryError, match="is a file"):
        RunDirectory(path).require_free()


def test_no_run_there(tmp_path):
    with pytest.raises(RunDirectoryError, match="holds no run"):
        RunDirectory(tmp_path).load_config()


def test_an_older_run_is_named(tmp_path):
    RunDirectory(tmp_path).flags.write_text("--seed=1\n")
    with pytest.raises(RunDirectoryError, match="of an older version") as raised:
        RunDirectory(tmp_path).load_config()
    assert "\n" not in str(raised.value)


def test_ranks(tmp_path):
    run = RunDirectory(tmp_path)
    run.write_ranks("test", {"rank": np.array([1, 3]), "task": np.array(["rec"] * 2)})
    with np.load(tmp_path / "ranks" / "test.npz", allow_pickle=False) as ranks:
        assert ranks["rank"].tolist() == [1, 3]
        assert ranks["task"].tolist() == ["rec", "rec"]


def test_metrics(tmp_path):
    run = RunDirectory(tmp_path)
    run.write_metrics({"epoch": 3})
    run.write_metrics({"epoch": 4})
    run.write_metrics({"epoch": 5}, "beauty")
    assert json.loads(run.metrics().read_text()) == {"epoch": 4}
    assert json.loads(run.metrics("beauty").read_text()) == {"epoch": 5}
    assert sorted(x.name for x in tmp_path.iterdir()) == [
        "metrics.beauty.json",
        "metrics.json",
    ]
