"""The split that the settings name."""

import datetime
import re

from pipelines.common.job import UserError
from pipelines.common.splits import LastSplits, Splits, TimeSplits
from pipelines.logs import clock
from pipelines.logs.settings import Settings

_SEES = "a target sees only behaviors strictly earlier in time"


def make_splits(settings: Settings, last_time: int) -> tuple[Splits, str]:
    """The rule that splits targets, and a sentence on it.

    Args:
        settings: `split` and `time_zone`.
        last_time: Latest time of the log, ms.

    Raises:
        UserError: The split is none of those, or its dates are out of order.
    """
    zone = settings.time_zone
    name, _, value = settings.split.partition("=")
    parts = [part.strip() for part in value.split(",")]
    if settings.split == "leave_one_out":
        return LastSplits(), (
            "leave one out: the last behavior of a user that has a clicked item is "
            f"test, the last but one validation, all others train; {_SEES}"
        )
    if name == "by_time" and len(parts) == 2:
        starts = [clock.parse_moment(part, zone, "--split=by_time") for part in parts]
        if starts[0] > starts[1]:
            raise UserError(f"--split={settings.split}: the two are out of order")
        rule = f"validation starts at {parts[0]}, test at {parts[1]} ({zone}); {_SEES}"
        return TimeSplits(*starts), rule
    if name == "last_days" and re.fullmatch(r"\d{1,5},\d{1,5}", ",".join(parts)):
        validation, test = map(int, parts)
        first_test = clock.day_of(last_time, zone) + 1 - test
        days = (first_test - validation, first_test)
        starts = [clock.day_start(day, zone) for day in days]
        dates = [
            datetime.date(1970, 1, 1) + datetime.timedelta(days=day) for day in days
        ]
        named = f"validation from {dates[0]}, test from {dates[1]}"
        rule = f"by day ({zone}): {named}; {_SEES}"
        return TimeSplits(*starts), rule
    raise UserError(
        f"--split={settings.split}: must be leave_one_out, by_time=DATE,DATE or "
        "last_days=V,T"
    )
