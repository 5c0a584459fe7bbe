"""Groups the rows of one part's users into behaviors."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.common import times
from pipelines.common.behaviors import (
    REC,
    SEARCH,
    Behaviors,
    Grouped,
    group_behaviors,
    save_behaviors,
)
from pipelines.common.keys import NO_KEY
from pipelines.common.repeats import is_repeated
from pipelines.common.shuffle import load_chunks
from pipelines.logs import clock

FAR = "time far from all others"  # Reasons.
REPEATED = "repeated click"

CODES = ("query", "source")  # Texts of sessions, besides items.


class BadPlace(NamedTuple):
    """A malformed row that shows only beside others."""

    piece: int
    line: int
    reason: str


def group_part(
    part: int, work: Path, days: tuple[int, int], need_both: bool
) -> tuple[Grouped, list[BadPlace]]:
    """Groups the rows of one part's users into behaviors and saves them.

    Args:
        part: Number of the part.
        work: Folder of the job's own files, with the sorted distinct keys of all items,
            queries and sources, see `save_codes`.
        days: First and last usual day, see `times.usual_days`.
        need_both: Whether only users with both kinds of behaviors are kept.

    Returns:
        See `save_behaviors`; items, queries and sources are places in these keys. And
        the malformed rows.
    """
    chunks = load_chunks(work, "events", part)
    behaviors, bad = group_events(chunks, days)
    path = work / f"grouped-{part:05d}.npz"
    return save_group(path, behaviors, work, need_both), bad


def save_group(
    path: Path, behaviors: Behaviors, work: Path, need_both: bool
) -> Grouped:
    """Saves behaviors; their items, queries and sources become places in the keys.

    Args:
        path: File to write, see `save_behaviors`.
        behaviors: Of one part's users.
        work, need_both: As in `group_part`.
    """
    coded = behaviors._replace(
        rec=_encoded(behaviors.rec, work, ("item",)),
        sessions=_encoded(behaviors.sessions, work, CODES),
        click_item=_codes(behaviors.click_item, work, "item"),
    )
    steps = (coded, coded.of_users_with_both()) if need_both else (coded,)
    return save_behaviors(path, steps)


def group_events(
    chunks: Sequence[tuple[np.ndarray, np.ndarray]], days: tuple[int, int]
) -> tuple[Behaviors, list[BadPlace]]:
    """Groups rows, without those far from all others and repeated clicks.

    A session has all rows of a user with one session key. Its query and its source are
    the first ones that its rows name, in order of time.

    Args:
        chunks: Rows of REC and of SEARCH in each piece, for some users.
        days: First and last usual day.
    """
    bad: list[BadPlace] = []
    rec, search = (
        _joined([chunk[kind] for chunk in chunks], dtype)
        for kind, dtype in enumerate((REC, SEARCH))
    )
    for kind, (rows, piece) in enumerate((rec, search)):
        good = times.within_days(rows["time"], clock.UNIT, days)
        _reject(rows, piece, ~good, FAR, bad)
        if kind == 0:
            repeated = np.zeros(len(rows), bool)
            kept = rows[good]
            repeated[good] = is_repeated(kept["user"], kept["item"], kept["time"])
            _reject(rows, piece, repeated, REPEATED, bad)
            rec_rows = rows[good & ~repeated]
        else:
            search_rows = rows[good]
    ordered = search_rows[
        np.lexsort((search_rows["time"], search_rows["session"], search_rows["user"]))
    ]
    _fill_first(ordered, "query")
    _fill_first(ordered, "source")
    return group_behaviors(rec_rows, ordered), bad


def save_codes(work: Path, kind: str, keys: np.ndarray) -> None:
    """Saves the sorted distinct keys of "item", "query" or "source"."""
    np.save(work / f"{kind}_keys.npy", keys)


def load_codes(work: Path, kind: str) -> np.ndarray:
    """What `save_codes` saved."""
    return np.load(work / f"{kind}_keys.npy", mmap_mode="r")


def _joined(chunks: list[np.ndarray], dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    piece = np.repeat(np.arange(len(chunks)), [len(chunk) for chunk in chunks])
    return np.concatenate([np.zeros(0, dtype), *chunks]), piece


def _reject(rows, piece, is_bad, reason, bad):
    for row in np.flatnonzero(is_bad).tolist():
        place = BadPlace(int(piece[row]), int(rows["line"][row]), reason)
        if not bad or bad[-1] != place:  # A row with several items has several rows.
            bad.append(place)


def _fill_first(rows: np.ndarray, name: str) -> None:
    """Gives the first row of each session the first key that a row of it has.

    Args:
        rows: Rows of SEARCH, sorted by user and session.
        name: "query" or "source".
    """
    if not len(rows):
        return
    changes = np.ones(len(rows), bool)
    changes[1:] = (rows["session"][1:] != rows["session"][:-1]) | (
        rows["user"][1:] != rows["user"][:-1]
    )
    session = np.cumsum(changes) - 1
    named = np.flatnonzero(rows[name] != NO_KEY)
    sessions, first = np.unique(session[named], return_index=True)
    rows[name][np.flatnonzero(changes)[sessions]] = rows[name][named[first]]


def _encoded(rows: np.ndarray, work: Path, names: Sequence[str]) -> np.ndarray:
    rows = rows.copy()
    for name in names:
        rows[name] = _codes(rows[name], work, name)
    return rows


def _codes(keys: np.ndarray, work: Path, kind: str) -> np.ndarray:
    """[keys] place of each key, which all are there."""
    return np.searchsorted(load_codes(work, kind), keys)
