"""Rows that repeat others: clicks listed twice, and session ids that two users have."""

from pathlib import Path

import numpy as np

from pipelines.common.repeats import is_repeated
from pipelines.kuaisar.split import SESSION, load_part


def repeated_clicks(rec: np.ndarray) -> np.ndarray:
    """[rows] of REC: whether an earlier row is the same click."""
    return is_repeated(rec["user"], rec["item"], rec["time"])


def find_repeated_clicks(part: int, work: Path) -> tuple[np.ndarray, np.ndarray]:
    """The repeated clicks of one part.

    Args:
        part: Number of the part.
        work: Folder of the job's own files.

    Returns:
        [n] rows of REC with raw items, and [n] the piece of each.
    """
    rec, piece = load_part(work, "rec", part)
    repeated = repeated_clicks(rec)
    rec, piece = rec[repeated], piece[repeated]
    rec["item"] = np.load(work / "catalogue.npy", mmap_mode="r")[rec["item"]]
    return rec, piece


def find_foreign_sessions(work: Path, num_parts: int) -> np.ndarray:
    """Finds users with rows of a session that belongs to another user.

    A session belongs to the user with most of its rows; of several such users, to the
    one whose row comes first.

    Args:
        work: Folder of the job's own files.
        num_parts: Number of parts that the rows are laid out in.

    Returns:
        [n] rows of SESSION: each id with a user that it does not belong to.
    """
    found = []
    for part in range(num_parts):
        sessions, _ = load_part(work, "sessions", part)
        if not len(sessions):
            continue
        order = np.lexsort((sessions["user"], sessions["session"]))
        ordered = sessions[order]
        starts = np.flatnonzero(_changes(ordered["session"], ordered["user"]))
        num_rows = np.add.reduceat(ordered["rows"], starts)
        first = order[starts]
        pairs = ordered[starts]
        pairs = pairs[np.lexsort((first, -num_rows, pairs["session"]))]
        found.append(_pairs(pairs[~_changes(pairs["session"])]))
    return np.concatenate([np.zeros(0, SESSION), *found])


def is_foreign(search: np.ndarray, foreign: np.ndarray) -> np.ndarray:
    """[rows] whether the session and user of a row of SEARCH are among `foreign`."""
    is_suspect = np.isin(search["session"], foreign["session"])
    is_suspect[is_suspect] = np.isin(_pairs(search[is_suspect]), foreign)
    return is_suspect


def _changes(*columns: np.ndarray) -> np.ndarray:
    """[rows] whether a row differs from the one before it; true for the first."""
    changes = np.ones(len(columns[0]), bool)
    changes[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return changes


def _pairs(rows: np.ndarray) -> np.ndarray:
    pairs = np.zeros(len(rows), SESSION)
    for name in SESSION.names:
        pairs[name] = rows[name]
    return pairs
