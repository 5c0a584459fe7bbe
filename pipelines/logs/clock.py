"""Times of a column: ISO 8601, numbers since 1970, or Parquet's timestamps."""

import datetime
from collections import Counter
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.common import times
from pipelines.common.job import UserError

UNIT = "milliseconds"  # Of all times that the job stores.

_ISO = (
    r"^\s*(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ](?P<clock>\d{2}:\d{2}(?::\d{2})?)(?:[.,](?P<fraction>\d+))?)?"
    r"\s*(?P<zone>[Zz]|UTC|[+-]\d{2}(?::?\d{2})?)?\s*$"
)
_NUMBER = r"^\s*[+-]?\d{1,18}(\.\d*)?\s*$"


def detect_format(column: pa.Array) -> str:
    """The format that fits most of some values, see `settings.TIME_FORMATS`."""
    if _is_moment(column.type) or not len(column):
        return "iso"
    numbers, is_number = _numbers(column)
    if 2 * is_number.sum() < len(column):
        return "iso"
    units = times.count_units(numbers[is_number].astype(np.int64))
    del units["none"]
    return max(units, key=units.__getitem__)


def milliseconds(
    column: pa.Array, time_format: str, zone: str
) -> tuple[np.ndarray, np.ndarray, Counter[str]]:
    """Times since 1970 in ms.

    Args:
        column: Texts, numbers, timestamps or dates, without nulls.
        time_format: "iso" or a unit of `times.UNITS`.
        zone: Time zone of times that name none.

    Returns:
        [rows] ms, [rows] whether the value is a time in this format, and the units
        that numbers look like, see `times.count_units`.
    """
    if _is_moment(column.type):
        moments = pc.cast(column, _moment_type(column.type), safe=False)
        ms = np.asarray(moments.cast(pa.int64()))
        if getattr(column.type, "tz", None) is None:
            ms = _localize(ms, zone)
        return ms, np.ones(len(ms), bool), Counter()
    if time_format == "iso":
        ms, is_time = _iso(column, zone)
        return ms, is_time, Counter()
    numbers, is_number = _numbers(column)
    units = times.count_units(np.floor(numbers[is_number]).astype(np.int64))
    per_second = times.UNITS[time_format]
    if per_second >= 1000:
        ms = np.floor(numbers / (per_second // 1000)) if per_second > 1000 else numbers
    else:
        ms = np.floor(numbers * (1000 / per_second))
    return np.floor(ms).astype(np.int64), is_number, units


def day_start(day: int, zone: str) -> int:
    """The ms at which a day of this zone starts; days count from 1970-01-01."""
    midnight = np.array([day * times.DAY_SECONDS * 1000], np.int64)
    return int(_localize(midnight, zone)[0])


def day_of(ms: int, zone: str) -> int:
    """The day of this zone, from 1970-01-01, on which a time lies."""
    moment = datetime.datetime.fromtimestamp(ms / 1000, ZoneInfo(zone))
    return (moment.date() - datetime.date(1970, 1, 1)).days


def parse_moment(text: str, zone: str, flag: str) -> int:
    """The ms of a date or time, as ISO 8601.

    Raises:
        UserError: It is none; names the flag.
    """
    ms, is_time = _iso(pa.array([text]), zone)
    if not is_time[0]:
        raise UserError(f"{flag}: {text!r} is no date such as 2024-01-31")
    return int(ms[0])


def _is_moment(kind: pa.DataType) -> bool:
    return pa.types.is_timestamp(kind) or pa.types.is_date(kind)


def _moment_type(kind: pa.DataType) -> pa.DataType:
    return pa.timestamp("ms", getattr(kind, "tz", None))


def _localize(ms: np.ndarray, zone: str) -> np.ndarray:
    """Times that a clock of this zone shows, to ms since 1970 in UTC.

    A time that the clock shows twice is the earlier one; one that it skips is the time
    at which it goes on.
    """
    if zone == "UTC" or not len(ms):
        return ms
    # Years that no zone has rules for would overflow; they are implausible anyway.
    is_sound = np.abs(ms) < 2**43
    shown = pd.DatetimeIndex(np.where(is_sound, ms, 0).astype("M8[ms]"))
    located = shown.tz_localize(
        ZoneInfo(zone), ambiguous=np.ones(len(ms), bool), nonexistent="shift_forward"
    )
    return np.where(is_sound, np.asarray(located.as_unit("ms").asi8), ms)


def _iso(column: pa.Array, zone: str) -> tuple[np.ndarray, np.ndarray]:
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return np.zeros(len(column), np.int64), np.zeros(len(column), bool)
    for tz in (None, "UTC"):
        # All times with a zone, or all without, in a usual layout: no need to look
        # at each.
        try:
            moments = pc.cast(column, pa.timestamp("us", tz)).cast(pa.int64())
        except pa.ArrowInvalid:
            continue
        ms = np.asarray(moments) // 1000
        return (ms if tz else _localize(ms, zone)), np.ones(len(ms), bool)
    return _iso_each(column, zone)


def _iso_each(column: pa.Array, zone: str) -> tuple[np.ndarray, np.ndarray]:
    """As `_iso`, for columns in which layouts differ or some values are no times."""
    ms, is_time = np.zeros(len(column), np.int64), np.zeros(len(column), bool)
    found = pc.extract_regex(column, _ISO)
    matched = np.flatnonzero(np.asarray(pc.is_valid(found)))
    is_local = np.zeros(len(column), bool)
    for row, parts in zip(matched, found.take(matched).to_pylist(), strict=True):
        text = f"{parts['date']}T{parts['clock'] or '00:00'}"
        try:
            moment = datetime.datetime.fromisoformat(text)
            offset = _offset(parts["zone"])
        except ValueError:
            continue  # Such as day 31 of February; the row is malformed.
        since = (
            moment - datetime.datetime(1970, 1, 1) - (offset or datetime.timedelta())
        )
        fraction = int((parts["fraction"] or "").ljust(3, "0")[:3])
        ms[row] = since // datetime.timedelta(milliseconds=1) + fraction
        is_time[row] = True
        is_local[row] = offset is None
    ms[is_local] = _localize(ms[is_local], zone)
    return ms, is_time


def _offset(zone: str) -> datetime.timedelta | None:
    """How much a zone such as "+05:30" is before UTC; None for no zone."""
    if not zone:
        return None
    if zone in ("Z", "z", "UTC"):
        return datetime.timedelta()
    digits = zone[1:].replace(":", "").ljust(4, "0")
    if int(digits[:2]) > 23 or int(digits[2:]) > 59:
        raise ValueError(zone)
    offset = datetime.timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -offset if zone[0] == "-" else offset


def _numbers(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """[rows] numbers, whole ones exactly if all are, and whether each is a number."""
    for kind in (pa.int64(), pa.float64()):
        try:
            numbers = np.asarray(pc.cast(column, kind))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
        is_sound = np.abs(numbers.astype(np.float64)) < 2.0**62  # False for NaN, too.
        return np.where(is_sound, numbers, 0), is_sound
    if not pa.types.is_string(column.type):
        return np.zeros(len(column)), np.zeros(len(column), bool)
    is_number = pc.match_substring_regex(column, _NUMBER)
    numbers = pc.cast(
        pc.utf8_trim_whitespace(pc.if_else(is_number, column, "0")), pa.float64()
    )
    return np.asarray(numbers), np.asarray(is_number)
