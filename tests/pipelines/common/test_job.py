import os
import signal
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool

import pytest

from pipelines.common import job
from sar_tf.files import WriteError


def test_output_appears_when_complete(tmp_path):
    output_dir = tmp_path / "made" / "out"
    with job.staged_output(output_dir) as staging:
        assert staging.parent == output_dir.parent
        assert staging.name.startswith(".")
        (staging / "folder").mkdir()
        (staging / "folder" / "file").write_text("x")
        assert not output_dir.exists()

    assert (output_dir / "folder" / "file").read_text() == "x"
    assert os.listdir(output_dir.parent) == ["out"]


def test_failed_job_leaves_nothing(tmp_path):
    with (
        pytest.raises(ZeroDivisionError),
        job.staged_output(tmp_path / "out") as staging,
    ):
        (staging / "file").write_text("x")
        raise ZeroDivisionError

    assert os.listdir(tmp_path) == []


def test_taken_output_is_refused_and_empty_one_is_used(tmp_path):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "file").write_text("x")
    with pytest.raises(job.UserError, match=r"--output_dir .*already holds files"):
        job.staged_output(taken).__enter__()
    with pytest.raises(job.UserError, match=r"--output_dir .* is a file"):
        job.staged_output(taken / "file").__enter__()

    (tmp_path / "empty").mkdir()
    with job.staged_output(tmp_path / "empty") as staging:
        (staging / "file").write_text("x")
    assert os.listdir(tmp_path / "empty") == ["file"]


def test_two_jobs_do_not_write_the_same_output(tmp_path):
    with job.staged_output(tmp_path / "out") as staging:
        (staging / "file").write_text("x")
        with pytest.raises(WriteError, match="another process is writing"):
            job.staged_output(tmp_path / "out").__enter__()
        assert (staging / "file").exists()


def test_killed_job_leaves_no_output_and_runs_again(tmp_path):
    output_dir = tmp_path / "out"
    killed = (
        "import os, signal, sys; from pathlib import Path\n"
        "from pipelines.common import job\n"
        "with job.staged_output(Path(sys.argv[1])) as staging:\n"
        "    (staging / 'folder').mkdir(); (staging / 'folder' / 'file').touch()\n"
        "    (staging / 'link').symlink_to(sys.argv[1])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    process = subprocess.run([sys.executable, "-c", killed, str(output_dir)])
    assert process.returncode == -signal.SIGKILL
    assert not output_dir.exists()
    assert [name for name in os.listdir(tmp_path) if not name.startswith(".")] == []

    with job.staged_output(output_dir) as staging:
        assert os.listdir(staging) == []
    assert os.listdir(tmp_path) == ["out"]


def run(argv, action):
    parser = job.argument_parser("simulate", "A job.")
    job.add_max_bad_fraction(parser)
    job.run(parser, action, argv)


def test_job_gets_its_flags_and_the_command(tmp_path):
    seen = []
    run(["--output_dir", "a b", "--seed=3"], seen.append)

    (args,) = seen
    assert str(args.output_dir) == "a b"
    assert (args.seed, args.max_bad_fraction) == (3, 0.01)
    flags = "--output_dir 'a b' --seed=3"
    assert args.command == f"python -m pipelines.simulate {flags}"


@pytest.mark.parametrize(
    "error, message",
    [
        (job.UserError("no such file"), "python -m pipelines.simulate: no such file"),
        (OSError(28, "No space left", "x"), "No space left: 'x'"),
        (MemoryError("1 TiB"), "not enough memory (1 TiB)"),
        (BrokenProcessPool("x"), "one of its processes was killed"),
        (KeyboardInterrupt(), "interrupted, nothing was written"),
    ],
)
def test_users_errors_are_one_line(error, message):
    def fail(args):
        raise error

    with pytest.raises(SystemExit) as exit_:
        run(["--output_dir=x"], fail)
    assert message in str(exit_.value)
    assert "\n" not in str(exit_.value)


@pytest.mark.parametrize(
    "flag", ["--seed=-1", "--seed=x", "--max_bad_fraction=2", "--max_bad=0", "--typo=1"]
)
def test_bad_flags_are_refused(flag, capsys):
    with pytest.raises(SystemExit) as exit_:
        run(["--output_dir=x", flag], print)
    assert exit_.value.code == 2
    assert flag.split("=")[0] in capsys.readouterr().err


def test_jobs_start_without_tensorflow(repository):
    """Its import takes seconds, too long for --help and for a missing file's error."""
    imports = (
        "import sys; from pipelines import amazon, kuaisar, simulate\n"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", imports], check=True, cwd=repository)
