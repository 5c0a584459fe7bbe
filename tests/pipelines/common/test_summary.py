import numpy as np
import pytest

from pipelines.common.job import UserError
from pipelines.common.rejects import Rejects
from pipelines.common.summary import Step, finish

STEPS = [Step("in the logs", 1000, 50, 9000), Step("too few", 900, 50, 8990)]
TABLE = """\
file            rows read  rejected
a.csv               1,234         3
  bad time                        2
  unknown item                    1
b.csv                   5         0

                  users  items  events
in the logs       1,000     50   9,000
dropped: too few    100      0      10
kept                900     50   8,990

targets  train  validation  test
rec          6           5     4
search       3           2     1

items without a query  12
"""


@pytest.fixture
def rejects(tmp_path):
    rejects = Rejects(tmp_path / "rejects.csv")
    rejects.add_rows("a.csv", [2, 3], "bad time", ["x", "y"])
    rejects.add("a.csv", 4, "unknown item", "z")
    rejects.check("a.csv", 1234, 0.1)
    rejects.check("b.csv", 5, 0.1)
    return rejects


def test_table(rejects, capsys):
    notes = {"items without a query": 12}
    finish(rejects, STEPS, np.array([[3, 2, 1], [6, 5, 4]]), notes=notes)
    assert capsys.readouterr().err == TABLE


def test_empty_split_fails_after_the_table(rejects, capsys):
    targets = np.array([[3, 0, 0], [6, 0, 1]])
    with pytest.raises(
        UserError, match=r"falls into validation \(targets: train 9, validation 0, te"
    ):
        finish(rejects, STEPS, targets)
    assert "rec          6           0     1" in capsys.readouterr().err
    finish(rejects, STEPS, targets, allow_empty_splits=True)
    finish(rejects, STEPS, np.array([[0, 0, 0], [6, 5, 4]]))
