import json
import subprocess
import sys

import pytest

from tools.benchmark import all_models
from tools.benchmark.__main__ import main


@pytest.fixture
def benchmark(repository):
    """Runs tools.benchmark in a process of its own: benchmark(*flags)."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "tools.benchmark", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=repository,
        )

    return run


def test_prints_one_line_of_json(benchmark):
    process = benchmark(
        "--case=evaluate", "--model=sesrec", "--history_groups=1", "--seconds=0"
    )
    assert process.returncode == 0, process.stderr
    result = json.loads(process.stdout)
    assert (result["case"], result["model"]) == ("evaluate", "sesrec")
    assert result["targets_per_step"] == 256
    assert result["processors"] >= 1
    assert result["versions"]["keras"].startswith("3.")
    assert process.stderr == ""


def test_the_table_of_all_models():
    head, line, row = all_models.rows(["qem"], ["--seconds=0", "--history_groups=1"])
    assert len(head.split("|")) == len(line.split("|")) == len(row.split("|"))
    name, *numbers = (cell.strip() for cell in row.strip("|").split("|"))
    assert name == "qem"
    assert all(float(number.replace(",", "")) > 0 for number in numbers)
    with pytest.raises(RuntimeError, match="--case=train --model=none failed"):
        list(all_models.rows(["none"], []))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--case=serve", "--backend=jax"], "--case=serve runs on TensorFlow only"),
        (
            ["--case=train", "--backend=jax", "--embedding_optimizer=lazy_adam"],
            "--embedding_optimizer=lazy_adam needs TensorFlow",
        ),
    ],
)
def test_what_jax_cannot_do(benchmark, arguments, expected):
    process = benchmark(*arguments)
    assert process.returncode == 1
    assert process.stderr == f"tools.benchmark: {expected}\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--case=train", "--model=none"], "--model: no model is named 'none'"),
        (["--case=input", "--needs=weather"], "--needs: needs names weather"),
        (["--case=walk"], "argument --case: invalid choice: 'walk'"),
        (["--case=fit", "--steps=0"], "argument --steps: must be 1 or more, not 0"),
        ([], "the following arguments are required: --case"),
    ],
)
def test_flags_that_cannot_be_used(capsys, arguments, expected):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert expected in f"{error.value}{capsys.readouterr().err}"
