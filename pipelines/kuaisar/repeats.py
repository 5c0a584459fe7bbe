"""Rows that repeat others: clicks listed twice, and session ids that two users have."""

import numpy as np

from pipelines.common.repeats import is_repeated

SESSION = np.dtype([(name, np.int64) for name in ("session", "user")])
SESSION_ROWS = np.dtype([*SESSION.descr, ("rows", np.int64)])


def repeated_clicks(rec: np.ndarray) -> np.ndarray:
    """[rows] of REC: whether an earlier row is the same click."""
    return is_repeated(rec["user"], rec["item"], rec["time"])


def count_sessions(search: np.ndarray) -> np.ndarray:
    """The pairs of session and user in rows of SEARCH, with their number of rows.

    Returns:
        [pairs] of SESSION_ROWS, in the order of their first rows.
    """
    sessions = _pairs(search)
    _, first, num_rows = np.unique(sessions, return_index=True, return_counts=True)
    order = np.argsort(first)
    counted = np.zeros(len(first), SESSION_ROWS)
    for name in SESSION.names:
        counted[name] = sessions[name][first[order]]
    counted["rows"] = num_rows[order]
    return counted


def foreign_pairs(sessions: np.ndarray) -> np.ndarray:
    """Finds users with rows of a session that belongs to another user.

    A session belongs to the user with most of its rows; of several such users, to the
    one whose row comes first.

    Args:
        sessions: [n] rows of SESSION_ROWS with all pairs of some sessions, in the
            order of the file. A pair may occur several times.

    Returns:
        [n] rows of SESSION: each id with a user that it does not belong to.
    """
    if not len(sessions):
        return np.zeros(0, SESSION)
    order = np.lexsort((sessions["user"], sessions["session"]))
    ordered = sessions[order]
    starts = np.flatnonzero(_changes(ordered["session"], ordered["user"]))
    num_rows = np.add.reduceat(ordered["rows"], starts)
    first = order[starts]
    pairs = ordered[starts]
    pairs = pairs[np.lexsort((first, -num_rows, pairs["session"]))]
    return _pairs(pairs[~_changes(pairs["session"])])


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
