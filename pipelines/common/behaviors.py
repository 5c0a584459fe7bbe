"""Behaviors of some users: rows of a log to recommendations and search sessions."""

from typing import NamedTuple

import numpy as np

from pipelines.common.disk import open_arrays, save_arrays
from sar_tf.paths import AnyPath

# Rows of a log, in a job's own codes.
REC = np.dtype([(name, np.int64) for name in ("user", "item", "time", "line")])
SEARCH = np.dtype(
    [
        (name, np.int64)
        for name in (
            *("user", "session", "time", "query", "source", "item"),
            *("clicked", "line"),
        )
    ]
)


class Behaviors(NamedTuple):
    """Behaviors of some users."""

    rec: np.ndarray  # Rows of REC.
    sessions: np.ndarray  # Rows of SEARCH, one for each session.
    click_session: np.ndarray  # Place in `sessions` of each item clicked in one.
    click_item: np.ndarray

    def take(self, is_rec: np.ndarray, is_session: np.ndarray) -> "Behaviors":
        """The recommendations and sessions where the masks are true."""
        place = np.cumsum(is_session) - 1
        is_click = is_session[self.click_session]
        return Behaviors(
            self.rec[is_rec],
            self.sessions[is_session],
            place[self.click_session[is_click]],
            self.click_item[is_click],
        )

    def of_users_with_both(self) -> "Behaviors":
        """The behaviors of users with a recommendation and a session."""
        users = np.intersect1d(self.rec["user"], self.sessions["user"])
        return self.take(
            np.isin(self.rec["user"], users), np.isin(self.sessions["user"], users)
        )

    def items(self) -> np.ndarray:
        """Sorted distinct items that were clicked."""
        return np.unique(np.concatenate([self.rec["item"], self.click_item]))

    def users(self) -> np.ndarray:
        """Sorted distinct users."""
        return np.union1d(self.rec["user"], self.sessions["user"])

    def num_events(self) -> int:
        """Number of recommendations and sessions."""
        return len(self.rec) + len(self.sessions)


class Grouped(NamedTuple):
    """One part's file of behaviors, and numbers of each step of the job's rules."""

    path: AnyPath
    num_users: list[int]
    num_events: list[int]


def save_behaviors(path: AnyPath, steps: tuple[Behaviors, ...]) -> Grouped:
    """Saves the behaviors of one part's users.

    Args:
        path: File to write.
        steps: What is left after each rule; the last one is saved.

    Returns:
        Its file has the arrays `users` `(U,)` raw ids, sorted; `rec_user`, `rec_item`,
        `rec_time` of each recommendation, by user and time; `session_user`, `…_time`,
        `…_query`, `…_source` of each session, by user and time; `click_session`,
        `click_item` of each distinct item clicked in a session. Users and sessions are
        given by their place in these arrays. `items_0`, `items_1`, … are the items left
        after each step.
    """
    rec, sessions, click_session, click_item = steps[-1]
    users = steps[-1].users()
    rec = rec[np.lexsort((rec["time"], rec["user"]))]
    order = np.lexsort((sessions["time"], sessions["user"]))
    click_session = np.argsort(order)[click_session]
    by_session = np.argsort(click_session, kind="stable")
    save_arrays(
        path,
        users=users,
        rec_user=np.searchsorted(users, rec["user"]),
        rec_item=rec["item"],
        rec_time=rec["time"],
        session_user=np.searchsorted(users, sessions["user"][order]),
        session_time=sessions["time"][order],
        session_query=sessions["query"][order],
        session_source=sessions["source"][order],
        click_session=click_session[by_session],
        click_item=click_item[by_session],
        **{f"items_{index}": step.items() for index, step in enumerate(steps)},
    )
    return Grouped(
        path,
        [len(step.users()) for step in steps],
        [step.num_events() for step in steps],
    )


def session_codes(path: AnyPath, is_kept: np.ndarray, kind: str) -> np.ndarray:
    """The code of each session of the kept users.

    Args:
        path: The file of `save_behaviors`.
        is_kept: [users] whether each user of the part is kept.
        kind: "query" or "source".
    """
    with open_arrays(path) as arrays:
        return arrays[f"session_{kind}"][is_kept[arrays["session_user"]]]


def group_behaviors(rec: np.ndarray, search: np.ndarray) -> Behaviors:
    """Groups rows into behaviors.

    A behavior is a row of `rec`, or a search session: all rows of `search` with one
    user and session. Its time is their earliest time; its query and source come from
    the first row. An item counts once in a session.

    Args:
        rec: Rows of REC.
        search: Rows of SEARCH.
    """
    order = np.lexsort((search["session"], search["user"]))
    rows = search[order]
    is_first = np.ones(len(rows), bool)
    is_first[1:] = (rows["session"][1:] != rows["session"][:-1]) | (
        rows["user"][1:] != rows["user"][:-1]
    )
    starts = np.flatnonzero(is_first)
    sessions = rows[starts]
    if len(starts):
        sessions["time"] = np.minimum.reduceat(rows["time"], starts)
    session = np.cumsum(is_first) - 1
    clicked = rows["clicked"] > 0
    clicks = np.stack([session[clicked], rows["item"][clicked]], axis=1)
    _, once = np.unique(clicks, axis=0, return_index=True)
    clicks = clicks[np.sort(once)]
    return Behaviors(rec, sessions, clicks[:, 0], clicks[:, 1])
