import importlib.util

import pytest

from pipelines.common import engines, job

ERROR = "pipelines.common.job.UserError"


def parser():
    made = job.argument_parser("name", "Does nothing.")
    engines.add_engine(made)
    return made


def test_flags_that_the_job_does_not_know_are_beams():
    found = []
    flags = ["--output_dir=out", "--engine=beam", "--runner=DirectRunner", "--x", "3"]
    job.run(parser(), found.append, flags)
    assert found[0].beam_flags == ["--runner=DirectRunner", "--x", "3"]


def test_the_local_engine_has_no_other_flags(capsys):
    with pytest.raises(SystemExit):
        job.run(parser(), print, ["--output_dir=out", "--runner=DirectRunner"])
    assert "unrecognized arguments: --runner=DirectRunner" in capsys.readouterr().err


def test_a_missing_beam_is_one_line(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        job.UserError, match=r"install it: pip install 'sar-tf\[beam\]'"
    ):
        engines.require_beam()


@pytest.mark.parametrize(
    "error",
    [
        job.UserError("a.csv is bad; mend it [while running 'read/parse']"),
        # As a runner on other machines tells it.
        RuntimeError(
            f"Traceback\n{ERROR}: a.csv is bad; mend it [while running 'x']\nEnd"
        ),
    ],
)
def test_a_workers_error_is_the_jobs(error):
    pytest.importorskip("apache_beam", reason="Apache Beam is not installed ([beam])")
    from pipelines.common.beam_run import parse_options, run_pipeline

    with pytest.raises(job.UserError) as found, run_pipeline(parse_options([])):
        raise error
    assert str(found.value) == "a.csv is bad; mend it"


def test_a_bug_stays_what_it_is():
    pytest.importorskip("apache_beam", reason="Apache Beam is not installed ([beam])")
    from pipelines.common.beam_run import parse_options, run_pipeline

    with pytest.raises(RuntimeError, match="bug"), run_pipeline(parse_options([])):
        raise RuntimeError("bug")
