"""A job's progress: a bar on a terminal, else a plain line every few seconds."""

import sys
import time

from tqdm import tqdm

SECONDS = 10.0  # Between two plain lines.


class ProgressLines:
    """Prints progress as plain lines; has the part of tqdm's interface that jobs use.

    A line has the description, the amount, the time and the rate. The last line comes
    at the end.

    Args:
        description: First words of each line.
        total: The amount at the end; None if unknown.
        unit: Unit of the amount.
        seconds: Time between two lines.
    """

    def __init__(
        self, description: str, total: int | None, unit: str, seconds: float = SECONDS
    ):
        self.n = 0
        self._description = description
        self._total = total
        self._unit = unit
        self._seconds = seconds
        self._postfix = ""
        self._start = self._printed = time.monotonic()

    def __enter__(self) -> "ProgressLines":
        return self

    def __exit__(self, *_) -> None:
        self._print()

    def update(self, n: int = 1) -> None:
        """Adds n to the amount."""
        self.n += n
        if time.monotonic() - self._printed >= self._seconds:
            self._print()

    def set_postfix_str(self, text: str = "", refresh: bool = True) -> None:
        """Sets the text at the end of each line."""
        self._postfix = text
        if refresh:
            self._print()

    def _print(self) -> None:
        self._printed = time.monotonic()
        elapsed = self._printed - self._start
        done = tqdm.format_sizeof(self.n)
        if self._total:
            share = f"{min(self.n / self._total, 1):.0%}"
            done = f"{share}, {done} of {tqdm.format_sizeof(self._total)}"
        rate = tqdm.format_sizeof(self.n / max(elapsed, 1e-3))
        parts = (
            f"{self._description}: {done}{self._unit}",
            f"{rate}{self._unit}/s",
            tqdm.format_interval(elapsed),
            *([self._postfix] if self._postfix else []),
        )
        print(", ".join(parts), file=sys.stderr, flush=True)


def progress(description: str, total: int | None, unit: str) -> tqdm | ProgressLines:
    """Shows the progress of a job on stderr; use it in a `with` and `update` it.

    Args:
        description: First words of the bar or line.
        total: The amount at the end; None if unknown.
        unit: Unit of the amount, such as " rows".
    """
    if sys.stderr.isatty():
        return tqdm(desc=description, total=total, unit=unit, unit_scale=True)
    return ProgressLines(description, total, unit)
