"""Rows of a table of events: from columns to rows of fixed size, laid out by user."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.common import times
from pipelines.common.behaviors import REC, SEARCH
from pipelines.common.keys import NO_KEY, combine_keys, keys_of, part_of, save_texts
from pipelines.common.report import Report
from pipelines.common.shuffle import save_chunks
from pipelines.logs import clock
from pipelines.logs.columns import read_columns
from pipelines.logs.files import Piece
from pipelines.logs.reader import read_piece
from pipelines.logs.rows import Rows
from pipelines.logs.settings import EventTable
from sar_tf.data.tokenizer import Tokenizer, get_tokenizer

MAX_WORDS = 50  # Largest number of words of a query or caption.
KINDS = ("user", "item", "query", "source")  # Of texts that rows have keys of.


class Reading(NamedTuple):
    """How the rows of one table are read.

    Attributes:
        name: "events", "recs" or "searches".
        columns: The columns that the table has.
        time_format: See `clock.milliseconds`.
        time_zone: Zone of times that name none.
        tokenizer: Name of the tokenizer of queries.
    """

    name: str
    columns: EventTable
    time_format: str
    time_zone: str
    tokenizer: str


class Events(NamedTuple):
    """Rows of recommendations and searches.

    Attributes:
        rec: Rows of REC, one for each clicked recommendation.
        search: Rows of SEARCH; a search that shows no clicked item has one with item 0.
        texts: For each of `KINDS`, the texts of the keys in the rows.
    """

    rec: np.ndarray
    search: np.ndarray
    texts: dict[str, list[str]]


@dataclasses.dataclass
class EventReport(Report):
    """Summary of one piece of events.

    Attributes:
        keys: For each of `KINDS`, the sorted distinct keys.
        other_types: Number of rows of each type that is neither.
        num_rec, num_search: Number of rows that were saved.
    """

    keys: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    other_types: Counter[str] = dataclasses.field(default_factory=Counter)
    num_rec: int = 0
    num_search: int = 0

    def add(self, other: "EventReport") -> None:
        super().add(other)
        self.other_types.update(other.other_types)
        self.num_rec += other.num_rec
        self.num_search += other.num_search


def split_events(
    piece: Piece, index: int, reading: Reading, work: Path, num_parts: int
) -> EventReport:
    """Saves the rows of a piece in parts by user, and the texts of their keys.

    Args:
        piece: The rows to read.
        index: Number of the piece among all pieces of events.
        reading: How its rows are read.
        work: Folder for files that the job makes and removes.
        num_parts: Number of parts that the rows are laid out in.
    """
    events, report = read_events(piece, reading)
    chunks = (rows_by_part(rows, num_parts) for rows in (events.rec, events.search))
    save_chunks(work / f"events-{index:06d}.chunks", list(zip(*chunks, strict=True)))
    for kind in KINDS:
        report.keys[kind] = save_texts(work, kind, index, events.texts[kind])
    return report


def read_events(piece: Piece, reading: Reading) -> tuple[Events, EventReport]:
    """Reads a piece.

    Args:
        piece: The rows to read.
        reading: How its rows are read.
    """
    report = EventReport(0, 0, [])
    found = []
    for rows in read_piece(piece, read_columns(reading.columns)):
        found.append(parse_events(rows, reading, report))
        report.num_lines += rows.num_lines
        report.num_rows += rows.num_rows
        report.bad += rows.bad_rows()
    events = Events(
        np.concatenate([np.zeros(0, REC), *(events.rec for events in found)]),
        np.concatenate([np.zeros(0, SEARCH), *(events.search for events in found)]),
        {
            kind: [text for events in found for text in events.texts[kind]]
            for kind in KINDS
        },
    )
    report.num_rec, report.num_search = len(events.rec), len(events.search)
    return events, report


def parse_events(rows: Rows, reading: Reading, report: EventReport) -> Events:
    """Reads the columns of some rows.

    Args:
        rows: The rows; malformed ones are no longer good.
        reading: How they are read.
        report: Gets their times and other types.
    """
    table = reading.columns
    user, users = rows.ids(table.user, is_required=True)
    time, units = rows.times(table.time, reading.time_format, reading.time_zone)
    item, items = _optional_ids(rows, table.item)
    source, sources = _optional_ids(rows, table.source)
    query, texts = _queries(rows, table.query, get_tokenizer(reading.tokenizer))
    is_rec, is_search = _types(rows, reading, query, texts, report)
    item_keys = keys_of(items)
    has_item = item_keys[item] != NO_KEY
    is_clicked = has_item
    if table.click:
        clicks = rows.numbers(table.click)
        rows.require(~(clicks < 0), f"bad number in {table.click}")
        is_clicked = has_item & (clicks > 0)
    rows.require(~is_rec | has_item, f"no {table.item or 'item'}")
    query_keys, user_keys = keys_of(texts), keys_of(users)
    has_query = query_keys[query] != NO_KEY
    session = combine_keys(user_keys[user], time, query_keys[query])
    if table.session:
        code, sessions = rows.ids(table.session, is_required=False)
        keys = keys_of(sessions)[code]
        # A session without any query is one, but a row alone needs a query.
        rows.require(~is_search | has_query | (keys != NO_KEY), f"no {table.query}")
        session = np.where(keys != NO_KEY, keys, session)
    else:
        rows.require(~is_search | has_query, f"no {table.query or 'query'}")
    clicked = _clicked_lists(rows, table)
    # From here on all checks of single rows are done.
    is_rec, is_search = is_rec & rows.good, is_search & rows.good
    report.units += units
    report.days += times.count_days(time[rows.good], clock.UNIT)
    report.last_time = max(report.last_time, int(time[rows.good].max(initial=0)))

    rec = np.zeros(np.count_nonzero(is_rec & is_clicked), REC)
    for name, values in (
        ("user", user_keys[user]),
        ("item", item_keys[item]),
        ("time", time),
        ("line", rows.line),
    ):
        rec[name] = values[is_rec & is_clicked]
    row, own_items = _searched_items(is_search, is_clicked, item_keys[item], clicked)
    search = np.zeros(len(row), SEARCH)
    for name, values in (
        ("user", user_keys[user]),
        ("session", session),
        ("time", time),
        ("query", query_keys[query]),
        ("source", keys_of(sources)[source]),
        ("line", rows.line),
    ):
        search[name] = values[row]
    search["item"] = own_items
    search["clicked"] = own_items != NO_KEY
    used = {
        "user": (users, user[is_rec | is_search]),
        "query": (texts, query[is_search]),
        "source": (sources, source[is_search]),
        "item": (items, item[(is_rec | is_search) & is_clicked]),
    }
    kept = {kind: _used(*pair) for kind, pair in used.items()}
    if clicked is not None:
        at, code, listed = clicked
        kept["item"] += _used(listed, code[is_search[at]])
    return Events(rec, search, kept)


def _optional_ids(rows: Rows, column: str) -> tuple[np.ndarray, list[str]]:
    if not column:
        return np.zeros(len(rows), np.int64), [""]
    return rows.ids(column, is_required=False)


def _queries(
    rows: Rows, column: str, tokenizer: Tokenizer
) -> tuple[np.ndarray, list[str]]:
    """[rows] code of each row's query; its words, with spaces between, of each code."""
    if not column:
        return np.zeros(len(rows), np.int64), [""]
    codes, texts = rows.texts(column)
    return codes, [" ".join(tokenizer.words(text)[:MAX_WORDS]) for text in texts]


def _types(
    rows: Rows,
    reading: Reading,
    query: np.ndarray,
    texts: list[str],
    report: EventReport,
) -> tuple[np.ndarray, np.ndarray]:
    """[rows] whether each row is a recommendation, and whether it is of a search."""
    table, none = reading.columns, np.zeros(len(rows), bool)
    if reading.name == "recs":
        return ~none, none
    if reading.name == "searches":
        return none, ~none
    if not table.type:
        is_search = np.array([text != "" for text in texts], bool)[query]
        return ~is_search, is_search
    codes, types = rows.ids(table.type, is_required=True)
    is_rec, is_search = (
        np.array([name in names for name in types], bool)[codes]
        for names in (table.rec_values, table.search_values)
    )
    others, counts = np.unique(
        codes[rows.good & ~is_rec & ~is_search], return_counts=True
    )
    for code, count in zip(others.tolist(), counts.tolist(), strict=True):
        report.other_types[types[code]] += count
    return is_rec, is_search


def _clicked_lists(rows: Rows, table: EventTable):
    """The column of clicked items: row, code and texts; None without one."""
    if not table.clicked:
        return None
    return rows.id_lists(table.clicked, table.separator)


def _searched_items(is_search, is_clicked, item, clicked):
    """[n] row and [n] item key of each row of SEARCH, in the order of the rows."""
    row = [np.flatnonzero(is_search & is_clicked)]
    key = [item[row[0]]]
    if clicked is not None:
        at, code, listed = clicked
        is_kept = is_search[at]
        row.append(at[is_kept])
        key.append(keys_of(listed)[code[is_kept]])
    has_click = np.zeros(len(is_search), bool)
    for rows in row:
        has_click[rows] = True
    row.append(np.flatnonzero(is_search & ~has_click))
    key.append(np.full(len(row[-1]), NO_KEY))
    rows, keys = np.concatenate(row), np.concatenate(key)
    order = np.argsort(rows, kind="stable")
    return rows[order], keys[order]


def _used(texts: list[str], codes: np.ndarray) -> list[str]:
    """The texts of some codes; the empty one is left out."""
    used = [texts[code] for code in np.unique(codes).tolist()]
    return [text for text in used if text]


def rows_by_part(rows: np.ndarray, num_parts: int) -> list[np.ndarray]:
    """The rows of each part's users, in their order."""
    part = part_of(rows["user"].copy(), num_parts)
    ends = np.cumsum(np.bincount(part, minlength=num_parts))
    return np.split(rows[np.argsort(part, kind="stable")], ends[:-1])
