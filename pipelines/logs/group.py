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
from pipelines.common.codes import CODES, encode_behaviors
from pipelines.common.keys import NO_KEY
from pipelines.common.repeats import is_repeated
from pipelines.common.shuffle import load_chunks
from pipelines.logs import clock

FAR = "time far from all others"  # Reasons.
REPEATED = "repeated click"

KINDS = ("item", *CODES)  # Of texts that all parts share.


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
    coded = encode_behaviors(behaviors, work, KINDS)
    return save_behaviors(path, rules(coded, need_both)), bad


def rules(behaviors: Behaviors, need_both: bool) -> tuple[Behaviors, ...]:
    """What is left after each of the job's rules, the first of which keeps all."""
    if not need_both:
        return (behaviors,)
    return behaviors, behaviors.of_users_with_both()


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
