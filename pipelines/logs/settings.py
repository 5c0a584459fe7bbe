"""What a user says about the tables: a TOML file, flags, or both."""

import dataclasses
import difflib
import os
import sys
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipelines.common.job import UserError
from sar_tf.data.tokenizer import TOKENIZERS
from sar_tf.files import reason_of
from sar_tf.paths import as_path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TIME_FORMATS = ("auto", "iso", "seconds", "milliseconds", "microseconds", "nanoseconds")


def _help(text: str, default: Any = dataclasses.MISSING) -> Any:
    return dataclasses.field(default=default, metadata={"help": text})


@dataclasses.dataclass(frozen=True)
class EventTable:
    """A table of events. A column that is not named is found by its usual name."""

    files: tuple[str, ...] = _help("files, folders of parts or patterns such as a*.csv")
    user: str = _help("column of the user's id", "")
    time: str = _help("column of the time", "")
    item: str = _help("column of the item's id", "")
    type: str = _help(
        "column of the event's type; without one, rows with a query are searches", ""
    )
    rec_values: tuple[str, ...] = _help("types of clicked recommendations", ())
    search_values: tuple[str, ...] = _help("types of searches and clicks in them", ())
    click: str = _help("column above 0 where the row's item was clicked", "")
    query: str = _help("column of the query's text", "")
    clicked: str = _help("column of a search's clicked items", "")
    separator: str = _help("separates clicked items that are one text", " ")
    session: str = _help("column of the search session's id, unique for a user", "")
    source: str = _help("column of where the search was started", "")


@dataclasses.dataclass(frozen=True)
class FeatureTable:
    """A table of items or users."""

    files: tuple[str, ...] = _help("files, folders of parts or patterns such as a*.csv")
    id: str = _help("column of the id", "")
    categorical: tuple[str, ...] = _help("columns of names or codes", ())
    numeric: tuple[str, ...] = _help("columns of numbers; quantiles make buckets", ())
    multi: tuple[str, ...] = _help("columns of several names or codes", ())
    separator: str = _help("separates several names that are one text", "|")
    caption: str = _help("column of the item's text", "")
    buckets: int = _help("number of buckets of a numeric column", 10)


@dataclasses.dataclass(frozen=True)
class Settings:
    """All settings of a job, except folders and seeds.

    Attributes:
        events: A table of both recommendations and searches.
        recs, searches: Tables of one of them.
        items, users: Tables of features.
    """

    events: EventTable | None = None
    recs: EventTable | None = None
    searches: EventTable | None = None
    items: FeatureTable | None = None
    users: FeatureTable | None = None
    time_format: str = _help(
        f"one of {', '.join(TIME_FORMATS)}; auto takes what fits the first rows", "auto"
    )
    time_zone: str = _help("zone of days, and of times that name none", "UTC")
    split: str = _help(
        "leave_one_out, by_time=DATE,DATE (start of validation and of test) or "
        "last_days=V,T (days of validation and of test)",
        "leave_one_out",
    )
    min_interactions: int = _help("fewest of a user and of an item; 0 keeps all", 0)
    keep: str = _help(
        "both: users with recommendations and searches; any: all users", "any"
    )
    tokenizer: str = _help(f"{' or '.join(TOKENIZERS)}: finds the words", "words")
    min_word_count: int = _help("words in fewer searches and captions are unknown", 1)
    num_negatives: int = _help("stored for each validation and test target", 99)

    def __post_init__(self) -> None:
        if not (self.events or self.recs or self.searches):
            raise UserError(
                "no table of events; name --events.files, or --recs.files and "
                "--searches.files, or give --config"
            )
        for name, allowed in (
            ("time_format", TIME_FORMATS),
            ("keep", ("both", "any")),
            ("tokenizer", tuple(TOKENIZERS)),
        ):
            if getattr(self, name) not in allowed:
                raise UserError(
                    f"--{name} {getattr(self, name)!r}: must be one of "
                    f"{', '.join(allowed)}"
                )
        for name, lowest in (
            ("min_interactions", 0),
            ("min_word_count", 1),
            ("num_negatives", 1),
        ):
            if getattr(self, name) < lowest:
                raise UserError(f"--{name} must be {lowest} or more")
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise UserError(
                f"--time_zone {self.time_zone!r}: no such zone; examples are UTC and "
                "Europe/Berlin"
            ) from error
        if self.users and self.users.caption:
            raise UserError("--users.caption: only items have captions")

    @property
    def event_tables(self) -> dict[str, EventTable]:
        """The tables of events that are given, by name."""
        tables = {
            "events": self.events,
            "recs": self.recs,
            "searches": self.searches,
        }
        return {name: table for name, table in tables.items() if table}

    @property
    def feature_tables(self) -> dict[str, FeatureTable]:
        """The tables of features that are given, by owner: "item" and "user"."""
        tables = {"item": self.items, "user": self.users}
        return {owner: table for owner, table in tables.items() if table}


TABLES: dict[str, type] = {
    "events": EventTable,
    "recs": EventTable,
    "searches": EventTable,
    "items": FeatureTable,
    "users": FeatureTable,
}


def read_toml(path: str | os.PathLike) -> dict[str, Any]:
    """The settings of a TOML file, by name; columns as "events.user".

    Raises:
        UserError: The file is missing or no TOML.
    """
    try:
        with as_path(path).open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise UserError(f"--config {path}: {reason_of(error)}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"--config {path} is no TOML: {error}") from error
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": entry for key, entry in value.items()}
        else:
            flat[name] = value
    return flat


def make_settings(values: Mapping[str, Any]) -> Settings:
    """Settings from their names, as `read_toml` and flags have them.

    Raises:
        UserError: A name is unknown, or a value is of another type.
    """
    tables: dict[str, dict[str, Any]] = {}
    own: dict[str, Any] = {}
    known = setting_types()
    for name, value in values.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UserError(f"unknown setting {name!r}{hint}")
        value = _typed(name, value, known[name])
        table, _, column = name.rpartition(".")
        if table:
            tables.setdefault(table, {})[column] = value
        else:
            own[name] = value
    for table, columns in tables.items():
        if not columns.get("files"):
            raise UserError(f"--{table}.files is missing")
        own[table] = TABLES[table](**columns)
    return Settings(**own)


def setting_types() -> dict[str, dataclasses.Field]:
    """The field of each setting by its name, such as "split" or "events.user"."""
    fields = {}
    for field in dataclasses.fields(Settings):
        if field.name not in TABLES:
            fields[field.name] = field
    for table, kind in TABLES.items():
        for field in dataclasses.fields(kind):
            fields[f"{table}.{field.name}"] = field
    return fields


def _typed(name: str, value: Any, field: dataclasses.Field) -> Any:
    if str(field.type).startswith("tuple"):
        if isinstance(value, str | os.PathLike):
            value = [part.strip() for part in os.fspath(value).split(",")]
        if isinstance(value, list | tuple):
            return tuple(str(part) for part in value)
        expected = "text or a list of texts"
    elif field.type in (int, "int"):
        try:
            if not isinstance(value, bool | float):
                return int(value)
        except (TypeError, ValueError):
            pass
        expected = "a whole number"
    elif isinstance(value, str):
        return value
    else:
        expected = "text"
    raise UserError(f"setting {name!r} is {value!r}, not {expected}")
