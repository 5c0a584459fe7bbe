"""One table of the speed and memory of all models."""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence

_HEADS = (
    "model",
    "train, targets/s",
    "a step, s",
    "first step, s",
    "memory, MiB",
    "evaluate, targets/s",
    "memory, MiB",
)


def rows(names: Iterable[str], arguments: Sequence[str]) -> Iterator[str]:
    """The lines of a Markdown table, each as soon as it is measured.

    Args:
        names: The models.
        arguments: Flags of tools.benchmark that all measurements have. Each one runs in
            a process of its own, so that memory is a model's own.

    Raises:
        RuntimeError: A measurement failed; has its last line of output.
    """
    yield _row(_HEADS)
    yield _row(["---"] * len(_HEADS))
    for name in names:
        train = _measure(name, "train", arguments)
        evaluate = _measure(name, "evaluate", arguments)
        yield _row(
            [
                name,
                f"{train['targets_per_second']:,.0f}",
                f"{train['seconds_per_step']:.3f}",
                f"{train['seconds_to_first_step']:.1f}",
                f"{train['peak_memory_mib']:,}",
                f"{evaluate['targets_per_second']:,.0f}",
                f"{evaluate['peak_memory_mib']:,}",
            ]
        )


def _measure(name, case, arguments):
    command = [sys.executable, "-m", "tools.benchmark", *arguments]
    process = subprocess.run(
        [*command, f"--case={case}", f"--model={name}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        last = (process.stderr.strip() or "no output").splitlines()[-1]
        raise RuntimeError(f"--case={case} --model={name} failed: {last}")
    return json.loads(process.stdout)


def _row(cells):
    return f"| {' | '.join(cells)} |"
