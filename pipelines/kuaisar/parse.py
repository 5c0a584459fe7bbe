"""Checks the rows of KuaiSAR's tables: from a piece of a file to rows of fixed size.

The functions write nothing. Each handles one piece, so that memory does not grow with
the log and several processes or machines can share the work.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np

from pipelines.common import times
from pipelines.common.behaviors import REC, SEARCH
from pipelines.common.codes import CODES, load_codes
from pipelines.common.described import Described
from pipelines.common.keys import distinct_texts, keys_of
from pipelines.common.ragged import find_sorted, word_lists
from pipelines.common.report import Report
from pipelines.kuaisar.reader import Piece, Rows
from sar_tf.paths import AnyPath

FAR = "time far from all others"  # A reason.
MAX_WORDS = 50  # Largest number of words of a query or caption.

USER_FEATURES = (
    "onehot_feat1",
    "onehot_feat2",
    "search_active_level",
    "rec_active_level",
)
ITEM_FEATURES = ("first_level_category_id", "second_level_category_id")
USER_COLUMNS = ("user_id", *USER_FEATURES)
ITEM_COLUMNS = ("item_id", "caption", *ITEM_FEATURES)
REC_TIME = "timestamp"
REC_COLUMNS = ("user_id", "item_id", REC_TIME, "click")
SEARCH_TIME = "search_session_timestamp"
TIME_UNIT = "milliseconds"
SEARCH_COLUMNS = (
    "user_id",
    "search_session_id",
    SEARCH_TIME,
    "keyword",
    "search_source",
    "item_id",
    "click_cnt",
)


class SearchRows(NamedTuple):
    """Well-formed rows of src_inter.csv.

    Attributes:
        rows: [rows] of SEARCH; query and source are keys of texts.
        texts: For "query" and "source", the sorted distinct keys and their texts.
    """

    rows: np.ndarray
    texts: dict[str, tuple[np.ndarray, list[str]]]


def parse_users(piece: Piece) -> tuple[Described, Report]:
    """Reads a piece of user_features.csv."""
    rows = Rows(piece, USER_COLUMNS)
    users = rows.integers("user_id")
    features = {name: rows.features(name) for name in USER_FEATURES}
    return Described(users, rows.line, features).take(rows.good), _report(rows)


def parse_items(piece: Piece) -> tuple[dict[str, np.ndarray], Report]:
    """Reads a piece of item_features.csv.

    Returns:
        The columns "id", "line", the features and "num_words"; the "words" of all rows.
    """
    rows = Rows(piece, ITEM_COLUMNS)
    columns = {"id": rows.integers("item_id"), "line": rows.line}
    columns |= {name: rows.features(name) for name in ITEM_FEATURES}
    codes, captions = rows.word_lists("caption", MAX_WORDS)
    kept = {name: values[rows.good] for name, values in columns.items()}
    words = word_lists([captions[code] for code in codes[rows.good]], np.int64)
    kept["words"], kept["num_words"] = words.values, words.lengths
    return kept, _report(rows)


def parse_rec(
    piece: Piece, work: AnyPath, days: tuple[int, int] | None = None
) -> tuple[np.ndarray, Report]:
    """Reads the clicked rows of a piece of rec_inter.csv.

    Args:
        piece: The rows to read.
        work: The job's own folder, with what `save_codes` saved of "item": the sorted
            ids of item_features.csv.
        days: Rows of other days are malformed, see `times.usual_days`.

    Returns:
        Rows of REC, whose items are places in the sorted ids.
    """
    rows = Rows(piece, REC_COLUMNS)
    user, item = rows.integers("user_id"), rows.integers("item_id")
    time, units = _times(rows, REC_TIME)
    click = rows.integers("click")
    rows.require(click <= 1, "bad number in click")
    item = _catalogue_index(rows, item, work)
    _require_days(rows, time, days)
    kept = np.zeros(np.count_nonzero(rows.good & (click == 1)), REC)
    columns = {"user": user, "item": item, "time": time, "line": rows.line}
    for name, values in columns.items():
        kept[name] = values[rows.good & (click == 1)]
    return kept, _log_report(rows, time, units)


def parse_search(
    piece: Piece, work: AnyPath, days: tuple[int, int] | None = None
) -> tuple[SearchRows, Report]:
    """Reads a piece of src_inter.csv; arguments and items as above."""
    rows = Rows(piece, SEARCH_COLUMNS)
    columns = {
        "user": rows.integers("user_id"),
        "session": rows.integers("search_session_id"),
    }
    columns["time"], units = _times(rows, SEARCH_TIME)
    queries = rows.word_lists("keyword", MAX_WORDS)
    sources = rows.names("search_source")
    columns["clicked"] = rows.integers("click_cnt") > 0
    columns["item"] = _catalogue_index(rows, rows.integers("item_id"), work)
    columns["line"] = rows.line
    _require_days(rows, columns["time"], days)
    texts = {}
    for kind, (codes, found) in zip(CODES, (queries, sources), strict=True):
        columns[kind] = keys_of(found)[codes]
        used = np.unique(codes[rows.good]).tolist()
        texts[kind] = distinct_texts([found[code] for code in used])
    kept = np.zeros(np.count_nonzero(rows.good), SEARCH)
    for name, values in columns.items():
        kept[name] = values[rows.good]
    return SearchRows(kept, texts), _log_report(rows, columns["time"], units)


def _catalogue_index(rows: Rows, item: np.ndarray, work: AnyPath) -> np.ndarray:
    """[rows] place of each item in the sorted ids of item_features.csv."""
    index, is_known = find_sorted(load_codes(work, "item"), item)
    rows.require(is_known, "unknown item")
    return index


def _times(rows: Rows, column: str) -> tuple[np.ndarray, Counter[str]]:
    """[rows] times, of which implausible ones are malformed, and their units."""
    time = rows.times(column)
    units = times.count_units(time)
    is_plausible = times.plausible(time, TIME_UNIT)
    rows.require(is_plausible, f"implausible time in {column}")
    return time, units


def _require_days(rows: Rows, time: np.ndarray, days: tuple[int, int] | None) -> None:
    # The last check of a row: before it, a row has the same reason without `days`.
    if days is not None:
        rows.require(times.within_days(time, TIME_UNIT, days), FAR)


def _report(rows: Rows) -> Report:
    return Report(
        num_lines=rows.num_lines,
        num_rows=rows.num_rows,
        bad=rows.bad_rows(),
    )


def _log_report(rows: Rows, time: np.ndarray, units: Counter[str]) -> Report:
    report = _report(rows)
    report.units = units
    report.days = times.count_days(time[rows.good], TIME_UNIT)
    report.last_time = int(time[rows.good].max(initial=0))
    return report
