import io
import sys

import pytest
from tqdm import tqdm

from pipelines.common import progress as module
from pipelines.common.progress import ProgressLines, progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Sets the time; [0] is the seconds."""
    seconds = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: seconds[0])
    return seconds


def test_a_line_every_few_seconds_and_at_the_end(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress("a.csv", 2000, "B") as bar:
        for second in range(1, 26):
            clock[0] = 100.0 + second
            bar.set_postfix_str(f"{second} rows", refresh=False)
            bar.update(80)

    text = sys.stderr.getvalue()
    assert "\r" not in text
    assert text.splitlines() == [
        "a.csv: 40%, 800 of 2.00kB, 80.0B/s, 00:10, 10 rows",
        "a.csv: 80%, 1.60k of 2.00kB, 80.0B/s, 00:20, 20 rows",
        "a.csv: 100%, 2.00k of 2.00kB, 80.0B/s, 00:25, 25 rows",
    ]


def test_a_line_without_a_total(clock, capsys):
    with ProgressLines("simulating", None, " rows") as bar:
        bar.update(30)
        clock[0] += 3.0

    assert capsys.readouterr().err == "simulating: 30.0 rows, 10.0 rows/s, 00:03\n"


def test_a_bar_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress("a.csv", 10, " rows") as bar:
        assert isinstance(bar, tqdm)
        bar.update(10)
    assert "\r" in sys.stderr.getvalue()
