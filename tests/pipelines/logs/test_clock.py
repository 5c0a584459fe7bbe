"""Times in all layouts, by hand."""

import numpy as np
import pyarrow as pa
import pytest

from pipelines.logs import clock

NOON = 1_714_564_800_000  # 2024-05-01T12:00Z


@pytest.mark.parametrize(
    ("texts", "time_format", "zone"),
    [
        (["2024-05-01T12:00Z", "2024-05-01 12:00"], "iso", "UTC"),
        (["2024-05-01T14:00+02:00", "2024-05-01T07:30:00-0430"], "iso", "UTC"),
        (["2024-05-01T14:00:00.000", "2024-05-01 14:00"], "iso", "Europe/Berlin"),
        (["1714564800", "1714564800.0004"], "seconds", "UTC"),
        (["1714564800000"], "milliseconds", "UTC"),
        (["1714564800000000"], "microseconds", "UTC"),
        (["1714564800000000999"], "nanoseconds", "UTC"),
    ],
)
def test_texts(texts, time_format, zone):
    column = pa.array(texts)
    assert clock.detect_format(column) == time_format
    ms, is_time, _ = clock.milliseconds(column, time_format, zone)
    assert is_time.all()
    assert ms.tolist() == [NOON] * len(texts)


def test_what_is_no_time():
    column = pa.array(["2024-02-31", "noon", "", "2024-05-01T12:00+99:00", "5"])
    assert not clock.milliseconds(column, "iso", "UTC")[1].any()
    column = pa.array(["12", "x", "", "1e5", "nan"])
    assert clock.milliseconds(column, "seconds", "UTC")[1].tolist() == [
        *(True, False, False, False, False)
    ]


def test_timestamps_of_parquet():
    naive = pa.array([np.datetime64("2024-05-01T14:00", "us")], pa.timestamp("us"))
    assert clock.milliseconds(naive, "iso", "Europe/Berlin")[0].tolist() == [NOON]
    aware = pa.array([NOON], pa.timestamp("ms", "Asia/Tokyo"))
    assert clock.milliseconds(aware, "iso", "UTC")[0].tolist() == [NOON]


def test_a_day_starts_where_its_clock_says():
    day = clock.day_of(NOON, "Asia/Tokyo")
    assert clock.day_start(day, "Asia/Tokyo") == NOON - 21 * 3_600_000
    # On 2024-03-31 Berlin's clock skips an hour; the day after starts at 22:00Z.
    day = (clock.parse_moment("2024-04-01", "UTC", "")) // 86_400_000
    start = clock.parse_moment("2024-03-31T22:00Z", "UTC", "")
    assert clock.day_start(day, "Europe/Berlin") == start
