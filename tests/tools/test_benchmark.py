import json
import subprocess
import sys

import pytest


@pytest.fixture
def benchmark(repository):
    """Runs tools/benchmark.py in a process of its own: benchmark(*flags)."""
    script = repository / "tools" / "benchmark.py"

    def run(*arguments):
        return subprocess.run(
            [sys.executable, script, *arguments],
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
    assert process.stderr == f"benchmark.py: {expected}\n"
