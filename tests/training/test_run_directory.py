import json
import subprocess
import sys

import numpy as np
import pytest

from sar_tf.files import WriteError
from sar_tf.training.config import RunConfig
from sar_tf.training.run_directory import RunDirectory, RunDirectoryError


def test_a_new_folder_is_free(tmp_path):
    RunDirectory(tmp_path / "runs" / "new").require_free()
    RunDirectory(tmp_path).require_free()


def test_a_run_is_not_overwritten(tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.start(RunConfig(seed=3))
    with pytest.raises(RunDirectoryError, match=r"already holds a run; .*--resume"):
        run.require_free()
    assert run.load_config() == RunConfig(seed=3)


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
    assert json.loads(run.metrics.read_text()) == {"epoch": 4}
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_a_run_killed_before_its_first_file_is_free(tmp_path):
    run = RunDirectory(tmp_path)
    run.checkpoints.mkdir()
    (tmp_path / ".partial-config.json").write_text("{")
    run.require_free()
    run.last.write_bytes(b"")
    with pytest.raises(RunDirectoryError, match="already holds a run"):
        run.require_free()


def test_a_second_writer_is_refused_until_the_first_is_killed(tmp_path):
    run = RunDirectory(tmp_path / "run")
    code = (
        "import sys; from sar_tf.training.run_directory import RunDirectory\n"
        "with RunDirectory(sys.argv[1]).locked(): print(flush=True); input()"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", code, run.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert first.stdout.readline()
        with pytest.raises(WriteError, match="another process is writing"):
            run.locked().__enter__()
    finally:
        first.kill()
        first.communicate()
    with run.locked():
        run.require_free()


def test_metrics_on_another_dataset_have_files_of_their_own(tmp_path):
    run = RunDirectory(tmp_path)
    run.write_metrics({"epoch": 3})
    run.of_dataset("data/other").write_metrics({"epoch": 4})
    assert json.loads(run.metrics.read_text()) == {"epoch": 3}
    assert json.loads((tmp_path / "metrics-other.json").read_text()) == {"epoch": 4}
    with pytest.raises(RunDirectoryError, match=r"metrics-other\.json is already"):
        run.of_dataset("elsewhere/other")
