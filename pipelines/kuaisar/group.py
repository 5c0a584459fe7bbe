"""Groups KuaiSAR's rows into behaviors, and filters users and items."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.common.disk import save_arrays
from pipelines.common.summary import Step
from pipelines.kuaisar.repeats import is_foreign, repeated_clicks
from pipelines.kuaisar.split import load_part

MIN_INTERACTIONS = 5
RULES = ("in the logs", "in the last two days", "only one behavior")


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

    def items(self) -> np.ndarray:
        """Sorted distinct items that were clicked."""
        return np.unique(np.concatenate([self.rec["item"], self.click_item]))

    def num_users(self) -> int:
        """Number of distinct users."""
        return len(np.union1d(self.rec["user"], self.sessions["user"]))

    def num_events(self) -> int:
        """Number of recommendations and sessions."""
        return len(self.rec) + len(self.sessions)


class Grouped(NamedTuple):
    """One part's file of behaviors, and numbers of each step of `RULES`."""

    path: Path
    num_users: list[int]
    num_events: list[int]


def group_part(part: int, work: Path, foreign: np.ndarray, end_time: int) -> Grouped:
    """Groups the rows of one part's users into behaviors and saves them.

    A behavior is a clicked recommendation or a search session. A repeated click counts
    once. A session has all rows of one session id. Its time is their earliest time; its
    query and source come from the first row. Only users with both kinds of behaviors
    are saved.

    Args:
        part: Number of the part.
        work: Folder of the job's own files, with `query_codes.npz` and
            `source_codes.npz`: the job's code of each code in a piece.
        foreign: Result of `find_foreign_sessions`; these rows are left out.
        end_time: Behaviors at this time and later are dropped, ms.

    Returns:
        Its file has the arrays `users` [U] raw ids, sorted; `rec_user`, `rec_item`,
        `rec_time` of each recommendation, by user and time; `session_user`, `…_time`,
        `…_query`, `…_source` of each session, by user and time; `click_session`,
        `click_item` of each distinct item clicked in a session. Users and sessions are
        given by their place in these arrays. `items_0`, `items_1`, … are the items left
        after each step of `RULES`.
    """
    rec, _ = load_part(work, "rec", part)
    rec = rec[~repeated_clicks(rec)]
    search, piece = load_part(work, "search", part)
    owned = ~is_foreign(search, foreign)
    search, piece = search[owned], piece[owned]
    for name, codes in (("query", "query_codes"), ("source", "source_codes")):
        table = np.load(work / f"{codes}.npz")
        search[name] = table["codes"][table["offsets"][piece] + search[name]]
    read = Behaviors(rec, *_group_sessions(search))
    in_time = read.take(read.rec["time"] < end_time, read.sessions["time"] < end_time)
    users = np.intersect1d(in_time.rec["user"], in_time.sessions["user"])
    both = in_time.take(
        np.isin(in_time.rec["user"], users), np.isin(in_time.sessions["user"], users)
    )
    steps = (read, in_time, both)
    rec, sessions = both.rec, both.sessions
    rec = rec[np.lexsort((rec["time"], rec["user"]))]
    order = np.lexsort((sessions["time"], sessions["user"]))
    click_session = np.argsort(order)[both.click_session]
    by_session = np.argsort(click_session, kind="stable")
    path = work / f"grouped-{part:05d}.npz"
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
        click_item=both.click_item[by_session],
        **{f"items_{index}": step.items() for index, step in enumerate(steps)},
    )
    return Grouped(
        path,
        [step.num_users() for step in steps],
        [step.num_events() for step in steps],
    )


def _group_sessions(search: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One row of SEARCH for each session; session and item of each clicked item."""
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
    return sessions, clicks[:, 0], clicks[:, 1]


@dataclasses.dataclass
class Kept:
    """The users and items that are left after the filters."""

    users: list[np.ndarray]  # [U] bool for each part.
    items: np.ndarray  # [catalogue] bool.


def filter_interactions(paths: list[Path], num_items: int) -> Kept:
    """Drops users and items with fewer than five interactions, until all have five.

    An interaction is a clicked recommendation or an item clicked in a search session.
    A user must also keep a clicked recommendation and a search session.

    Args:
        paths: The files of `group_part`.
        num_items: Size of the catalogue.
    """
    kept = Kept([], np.ones(num_items, bool))
    for path in paths:
        with np.load(path) as arrays:
            kept.users.append(np.ones(len(arrays["users"]), bool))
    while True:
        item_counts = np.zeros(num_items, np.int64)
        for path, is_kept in zip(paths, kept.users, strict=True):
            user, item, _ = _interactions(path)
            item_counts += np.bincount(item[is_kept[user]], minlength=num_items)
        items = kept.items & (item_counts >= MIN_INTERACTIONS)
        users = [
            is_kept & _active_users(path, len(is_kept), items)
            for path, is_kept in zip(paths, kept.users, strict=True)
        ]
        changed = (items != kept.items).any() or any(
            (new != old).any() for new, old in zip(users, kept.users, strict=True)
        )
        kept = Kept(users, items)
        if not changed:
            return kept


def count_steps(grouped: Sequence[Grouped], kept: Kept, num_events: int) -> list[Step]:
    """What the logs hold, and what is left after each rule.

    Args:
        grouped: The results of `group_part`.
        kept: Result of `filter_interactions`.
        num_events: Number of behaviors of the kept users and items.
    """
    num_items = len(kept.items)
    users = np.sum([part.num_users for part in grouped], axis=0).tolist()
    events = np.sum([part.num_events for part in grouped], axis=0).tolist()
    steps = [Step(RULES[0], users[0], num_items, events[0])]
    for index, rule in enumerate(("items never clicked", *RULES[1:])):
        clicked = np.zeros(num_items, bool)
        for part in grouped:
            with np.load(part.path) as arrays:
                clicked[arrays[f"items_{index}"]] = True
        steps.append(Step(rule, users[index], int(clicked.sum()), events[index]))
    num_users = sum(int(is_kept.sum()) for is_kept in kept.users)
    rule = f"fewer than {MIN_INTERACTIONS} interactions"
    return [*steps, Step(rule, num_users, int(kept.items.sum()), num_events)]


def _active_users(path, num_users, items):
    user, item, is_rec = _interactions(path)
    user, is_rec = user[items[item]], is_rec[items[item]]
    interactions = np.bincount(user, minlength=num_users)
    recs = np.bincount(user[is_rec], minlength=num_users)
    return (interactions >= MIN_INTERACTIONS) & (recs > 0)


def _interactions(path):
    """User, item and "is a recommendation" of each interaction."""
    with np.load(path) as arrays:
        searcher = arrays["session_user"][arrays["click_session"]]
        user = np.concatenate([arrays["rec_user"], searcher])
        item = np.concatenate([arrays["rec_item"], arrays["click_item"]])
        return user, item, np.arange(len(user)) < len(arrays["rec_user"])
