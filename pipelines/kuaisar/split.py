"""Checks the rows of KuaiSAR's tables and lays the logs out by user on disk.

Each function handles one piece of a table, so that memory does not grow with the log
and several processes can share the work. It writes one file for each piece, with rows
in the order of parts. A part holds all rows of some of the users.
"""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np

from pipelines.common import times
from pipelines.common.behaviors import REC, SEARCH
from pipelines.common.disk import save_arrays
from pipelines.common.ragged import find_sorted, word_lists
from pipelines.common.report import Report
from pipelines.common.shuffle import load_chunks, save_chunks
from pipelines.kuaisar.reader import Piece, Rows

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

SESSION = np.dtype([(name, np.int64) for name in ("session", "user")])
SESSION_ROWS = np.dtype([*SESSION.descr, ("rows", np.int64)])


@dataclasses.dataclass
class SearchReport(Report):
    """Summary of one piece of src_inter.csv.

    Attributes:
        queries, sources: The texts of the codes in the rows that were saved.
    """

    queries: list[str] = dataclasses.field(default_factory=list)
    sources: list[str] = dataclasses.field(default_factory=list)


def split_users(piece: Piece, index: int, work: Path) -> Report:
    """Saves the users of a piece of user_features.csv.

    Args:
        piece: The rows to read.
        index: Number of the piece in its table.
        work: Folder for files that the job makes and removes.
    """
    rows = Rows(piece, USER_COLUMNS)
    columns = {"id": rows.integers("user_id"), "line": rows.line}
    columns |= {name: rows.features(name) for name in USER_FEATURES}
    kept = {name: values[rows.good] for name, values in columns.items()}
    save_arrays(work / f"users-{index:05d}.npz", **kept)
    return _report(rows)


def split_items(piece: Piece, index: int, work: Path) -> Report:
    """Saves the items of a piece of item_features.csv; arguments as above."""
    rows = Rows(piece, ITEM_COLUMNS)
    columns = {"id": rows.integers("item_id"), "line": rows.line}
    columns |= {name: rows.features(name) for name in ITEM_FEATURES}
    codes, captions = rows.word_lists("caption", MAX_WORDS)
    kept = {name: values[rows.good] for name, values in columns.items()}
    texts = [captions[code] for code in codes[rows.good]]
    words = word_lists(texts, np.int64)
    kept["words"], kept["num_words"] = words.values, words.lengths
    save_arrays(work / f"items-{index:05d}.npz", **kept)
    return _report(rows)


def split_rec(
    piece: Piece,
    index: int,
    work: Path,
    num_parts: int,
    days: tuple[int, int] | None = None,
) -> Report:
    """Saves the clicked rows of a piece of rec_inter.csv.

    Args:
        piece, index, work: As above.
        num_parts: Number of parts that the rows are laid out in.
        days: Rows of other days are malformed, see `times.usual_days`.
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
    _save(work / f"rec-{index:05d}", kept, kept["user"] % num_parts, num_parts)
    return _log_report(rows, time, units)


def split_search(
    piece: Piece,
    index: int,
    work: Path,
    num_parts: int,
    days: tuple[int, int] | None = None,
) -> SearchReport:
    """Saves the rows of a piece of src_inter.csv; arguments as above.

    It also saves the pairs of session ids and users with their number of rows, in
    parts by session.
    """
    rows = Rows(piece, SEARCH_COLUMNS)
    columns = {
        "user": rows.integers("user_id"),
        "session": rows.integers("search_session_id"),
    }
    columns["time"], units = _times(rows, SEARCH_TIME)
    columns["query"], queries = rows.word_lists("keyword", MAX_WORDS)
    columns["source"], sources = rows.names("search_source")
    columns["clicked"] = rows.integers("click_cnt") > 0
    columns["item"] = _catalogue_index(rows, rows.integers("item_id"), work)
    columns["line"] = rows.line
    _require_days(rows, columns["time"], days)
    kept = np.zeros(np.count_nonzero(rows.good), SEARCH)
    for name, values in columns.items():
        kept[name] = values[rows.good]
    _save(work / f"search-{index:05d}", kept, kept["user"] % num_parts, num_parts)

    sessions = np.zeros(len(kept), SESSION)
    for name in SESSION.names:
        sessions[name] = kept[name]
    _, first, num_rows = np.unique(sessions, return_index=True, return_counts=True)
    order = np.argsort(first)  # The order of the file.
    counted = np.zeros(len(first), SESSION_ROWS)
    for name in SESSION.names:
        counted[name] = sessions[name][first[order]]
    counted["rows"] = num_rows[order]
    part = counted["session"] % num_parts
    _save(work / f"sessions-{index:05d}", counted, part, num_parts)
    report = _log_report(rows, columns["time"], units)
    return SearchReport(**vars(report), queries=queries, sources=sources)


def load_part(work: Path, name: str, part: int) -> tuple[np.ndarray, np.ndarray]:
    """One part's rows of all pieces, in the order of the file.

    Returns:
        [rows] of REC, SEARCH or SESSION_ROWS, and [rows] the piece of each.
    """
    chunks = load_chunks(work, name, part)
    piece = np.repeat(np.arange(len(chunks)), [len(rows) for rows in chunks])
    return np.concatenate(chunks), piece


def _save(path: Path, rows: np.ndarray, part: np.ndarray, num_parts: int) -> None:
    ends = np.cumsum(np.bincount(part, minlength=num_parts))
    rows = rows[np.argsort(part, kind="stable")]
    save_chunks(path.with_suffix(".chunks"), np.split(rows, ends[:-1]))


def _catalogue_index(rows: Rows, item: np.ndarray, work: Path) -> np.ndarray:
    """[rows] place of each item in the sorted ids of item_features.csv."""
    catalogue = np.load(work / "catalogue.npy", mmap_mode="r")
    index, is_known = find_sorted(catalogue, item)
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
