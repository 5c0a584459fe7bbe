import time
from collections import Counter

import numpy as np
import pytest

from pipelines.common import times
from pipelines.common.job import UserError

NOON_2023 = 1_685_577_600


@pytest.mark.parametrize(("unit", "per_second"), times.UNITS.items())
def test_plausible_from_1990_to_tomorrow(unit, per_second):
    now = int(time.time())
    seconds = [0, times.EARLIEST - 1, times.EARLIEST, NOON_2023, now, now + 90_000]
    found = times.plausible(np.array(seconds) * per_second, unit)
    assert found.tolist() == [False, False, True, True, True, False]


def test_most_times_decide_the_unit():
    seconds = np.full(9, NOON_2023)
    counts = times.count_units(np.concatenate([seconds, 1000 * seconds[:8], [5]]))
    assert counts == {"seconds": 9, "milliseconds": 8, "none": 1} | {
        "microseconds": 0,
        "nanoseconds": 0,
    }
    times.require_unit(counts, "milliseconds", "a.csv", "t")  # No majority.
    counts["seconds"] += 1
    with pytest.raises(UserError, match=r"a.csv: 10 of 19 times in 't' look like sec"):
        times.require_unit(counts, "milliseconds", "a.csv", "t")
    times.require_unit(counts, "seconds", "a.csv", "t")
    times.require_unit(Counter(), "seconds", "a.csv", "t")  # A file without rows.


@pytest.mark.parametrize(
    ("rows", "usual"),
    [
        ({100: 1}, (100, 100)),
        ({100: 50, 101: 50, 466: 1}, (100, 466)),  # 365 days away.
        ({100: 50, 101: 50, 467: 1}, (100, 101)),
        ({0: 1, 500: 198, 1000: 1}, (500, 500)),
        # Less than 99% of the rows have no gap: the log has it.
        ({0: 2, 500: 98}, (0, 500)),
        ({0: 50, 500: 50}, (0, 500)),
        # The log itself has gaps of 60 days: 600 days away are usual, 601 are not.
        ({-540: 1, 60: 99, 120: 99}, (-540, 120)),
        ({-541: 1, 60: 99, 120: 99}, (60, 120)),
    ],
)
def test_days_far_from_all_others(rows, usual):
    assert times.usual_days(rows) == usual


def test_days_are_counted_in_the_unit():
    day = 86_400_000
    found = np.array([3 * day, 4 * day - 1, 4 * day])
    assert times.count_days(found, "milliseconds") == {3: 2, 4: 1}
    inside = times.within_days(found, "milliseconds", (4, 9))
    assert inside.tolist() == [False, False, True]
