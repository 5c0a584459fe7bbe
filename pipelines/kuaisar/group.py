"""Groups KuaiSAR's rows into behaviors, and filters users and items."""

import dataclasses
from pathlib import Path

import numpy as np

from pipelines.kuaisar.repeats import is_foreign, repeated_clicks
from pipelines.kuaisar.split import load_part

MIN_INTERACTIONS = 5


def group_part(part: int, work: Path, foreign: np.ndarray, end_time: int) -> Path:
    """Groups the rows of one part's users into behaviors and saves them.

    A behavior is a clicked recommendation or a search session. A repeated click counts
    once. A session has all rows
    of one session id. Its time is their earliest time; its query and source come from
    the first row. Only users with both kinds of behaviors are saved.

    Args:
        part: Number of the part.
        work: Folder of the job's own files, with `query_codes.npz` and
            `source_codes.npz`: the job's code of each code in a piece.
        foreign: Result of `find_foreign_sessions`; these rows are left out.
        end_time: Behaviors at this time and later are dropped, ms.

    Returns:
        A file of arrays: `users` [U] raw ids, sorted; `rec_user`, `rec_item`,
        `rec_time` of each recommendation, by user and time; `session_user`, `…_time`,
        `…_query`, `…_source` of each session, by user and time; `click_session`,
        `click_item` of each distinct item clicked in a session. Users and sessions are
        given by their place in these arrays.
    """
    rec, _ = load_part(work, "rec", part)
    rec = rec[~repeated_clicks(rec)]
    search, piece = load_part(work, "search", part)
    owned = ~is_foreign(search, foreign)
    search, piece = search[owned], piece[owned]
    for name, codes in (("query", "query_codes"), ("source", "source_codes")):
        table = np.load(work / f"{codes}.npz")
        search[name] = table["codes"][table["offsets"][piece] + search[name]]
    sessions, click_session, click_item = _group_sessions(search, end_time)
    rec = rec[rec["time"] < end_time]
    users = np.intersect1d(rec["user"], sessions["user"])

    rec = rec[np.isin(rec["user"], users)]
    rec = rec[np.lexsort((rec["time"], rec["user"]))]
    chosen = np.flatnonzero(np.isin(sessions["user"], users))
    order = chosen[np.lexsort((sessions["time"][chosen], sessions["user"][chosen]))]
    place = np.full(len(sessions), -1)
    place[order] = np.arange(len(order))
    click_session = place[click_session]
    is_kept = click_session >= 0
    by_session = np.argsort(click_session[is_kept], kind="stable")
    path = work / f"grouped-{part:05d}.npz"
    np.savez(
        path,
        users=users,
        rec_user=np.searchsorted(users, rec["user"]),
        rec_item=rec["item"],
        rec_time=rec["time"],
        session_user=np.searchsorted(users, sessions["user"][order]),
        session_time=sessions["time"][order],
        session_query=sessions["query"][order],
        session_source=sessions["source"][order],
        click_session=click_session[is_kept][by_session],
        click_item=click_item[is_kept][by_session],
    )
    return path


def _group_sessions(search, end_time):
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
    is_kept = sessions["time"] < end_time
    clicks = clicks[is_kept[clicks[:, 0]]]
    return (
        sessions[is_kept],
        (np.cumsum(is_kept) - 1)[clicks[:, 0]],
        clicks[:, 1],
    )


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
