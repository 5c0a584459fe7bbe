"""Finds the columns of a table: those that the settings name, others by usual names."""

import dataclasses
from collections.abc import Sequence

from pipelines.common.job import UserError
from pipelines.logs.settings import EventTable, FeatureTable
from sar_tf.paths import AnyPath

_ITEM = ("item", "item_id", "itemid", "product_id", "sku", "video_id", "movie_id")
_USER = ("user", "user_id", "userid", "uid", "customer_id", "visitor_id")
USUAL_NAMES = {
    "user": _USER,
    "time": ("time", "timestamp", "ts", "datetime", "date", "event_time"),
    "item": _ITEM,
    "type": ("type", "event", "event_type", "action"),
    "click": ("click", "is_click"),
    "query": ("query", "search_query", "keyword", "keywords", "search_term"),
    "clicked": ("clicked_items", "clicked"),
    "session": ("session", "session_id", "search_session_id", "search_id"),
    "source": ("source", "search_source"),
}
_OF_SEARCHES = ("query", "clicked", "session", "source")
USUAL_TYPES = {
    "rec_values": ("rec", "recommendation", "click", "view", "watch", "purchase"),
    "search_values": ("search", "query", "search_click"),
}


def event_columns(
    name: str, table: EventTable, header: Sequence[str], path: AnyPath
) -> EventTable:
    """The table with the names of all columns that are read; "" for none.

    Args:
        name: "events", "recs" or "searches".
        table: As the settings have it.
        header: Columns of the table's files.
        path: A file of it, for errors.

    Raises:
        UserError: A named column is missing, or no user, time or item is found.
    """
    found = {}
    for role, usual in USUAL_NAMES.items():
        named = getattr(table, role)
        if named and named not in header:
            raise UserError(
                f"{path} has no column {named!r} (--{name}.{role}); its columns are: "
                f"{', '.join(header)}"
            )
        by_lower = {column.lower(): column for column in reversed(header)}
        guesses = [by_lower[guess] for guess in usual if guess in by_lower]
        found[role] = named or next(iter(guesses), "")
    if name == "recs":
        found |= dict.fromkeys((*_OF_SEARCHES, "type"), "")
    if name == "searches":
        found["type"] = ""
    for role in ("user", "time", *(("item",) if name == "recs" else ())):
        if not found[role]:
            raise UserError(
                f"{path} has no column of the {role}; name it by --{name}.{role}; its "
                f"columns are: {', '.join(header)}"
            )
    return dataclasses.replace(table, **found)


def feature_columns(
    name: str, table: FeatureTable, header: Sequence[str], path: AnyPath
) -> FeatureTable:
    """The table with the name of its id.

    Args:
        name: "items" or "users".
        table, header, path: As above.

    Raises:
        UserError: A named column is missing, or no id is found.
    """
    usual = (*(_ITEM if name == "items" else _USER), "id")
    own_id = table.id or next((column for column in usual if column in header), "")
    if not own_id:
        raise UserError(
            f"{path} has no column of the id; name it by --{name}.id; its columns are: "
            f"{', '.join(header)}"
        )
    named = {
        "id": (own_id,),
        "categorical": table.categorical,
        "numeric": table.numeric,
        "multi": table.multi,
        "caption": (table.caption,) if table.caption else (),
    }
    for role, columns in named.items():
        missing = [column for column in columns if column not in header]
        if missing:
            raise UserError(
                f"{path} has no column {', '.join(map(repr, missing))} "
                f"(--{name}.{role}); its columns are: {', '.join(header)}"
            )
    features = [*table.categorical, *table.numeric, *table.multi]
    for feature in features:
        if features.count(feature) > 1 or feature == "caption" or "/" in feature:
            raise UserError(
                f"--{name}: {feature!r} cannot be the name of a feature; it is named "
                "twice, is 'caption' or has a slash"
            )
    return dataclasses.replace(table, id=own_id)


def read_columns(table: EventTable | FeatureTable) -> list[str]:
    """All columns of a table that are read, without repeats."""
    if isinstance(table, EventTable):
        names = [getattr(table, role) for role in USUAL_NAMES]
    else:
        names = [table.id, table.caption]
        names += [*table.categorical, *table.numeric, *table.multi]
    return list(dict.fromkeys(name for name in names if name))
