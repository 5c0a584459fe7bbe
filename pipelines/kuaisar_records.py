"""From one KuaiSAR user's behaviors to a record."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.negatives import draw_negatives, user_generator
from pipelines.splits import by_time, history_ends
from pipelines.writer import Summary, shard_name, write_shard
from sar_tf.data.schema import REC, SEARCH, SPLITS, Ragged, UserRecord

MAX_CLICKED_ITEMS = 5  # Of a session in a history; each clicked item is a target.


class Recommendations(NamedTuple):
    """One user's clicked recommendations, [R] each, by time."""

    item: np.ndarray
    time: np.ndarray


class Sessions(NamedTuple):
    """One user's search sessions, [S] each, by time."""

    time: np.ndarray
    query: np.ndarray
    source: np.ndarray
    clicked_items: Ragged  # S rows.


class Settings(NamedTuple):
    """What the records of all users are made with."""

    num_items: int
    validation_start: int  # ms
    test_start: int  # ms
    seed: int


class DenseIds(NamedTuple):
    """Dense ids by the job's own codes, 0 for what is dropped, and queries' words."""

    users: np.ndarray  # Raw ids, sorted: dense id = place + 1.
    items: np.ndarray  # [catalogue]
    queries: np.ndarray  # [query codes]
    sources: np.ndarray  # [source codes]
    words: np.ndarray  # Dense words of query 0 (none), 1, … end to end.
    words_splits: np.ndarray  # [num_queries + 2]

    def save(self, work: Path) -> None:
        np.savez(work / "dense_ids.npz", **self._asdict())

    @classmethod
    def load(cls, work: Path) -> "DenseIds":
        with np.load(work / "dense_ids.npz") as arrays:
            return cls(**arrays)


def user_record(
    user: int,
    recs: Recommendations,
    sessions: Sessions,
    queries: tuple[np.ndarray, np.ndarray],
    settings: Settings,
) -> UserRecord:
    """Builds a user's record, in dense ids; the same arguments give the same record.

    Where a search and a recommendation have the same time, the search goes first.
    Every clicked recommendation is a recommendation target and every clicked item of
    a session a search target, but for those that nothing came before.

    Args:
        user: Dense id.
        recs, sessions: What the user did.
        queries: The words of query 0 (none), 1, …: values and row splits.
        settings: The same for all users.
    """
    num_sessions = len(sessions.time)
    times = np.concatenate([sessions.time, recs.time])
    order = np.argsort(times, kind="stable")
    place = np.argsort(order)  # Of each behavior in the sequence.
    is_rec = order >= num_sessions

    clicked, lengths = sessions.clicked_items
    target_behavior = np.concatenate(
        [place[:num_sessions].repeat(lengths), place[num_sessions:]]
    )
    by_place = np.argsort(target_behavior, kind="stable")
    target_behavior = target_behavior[by_place]
    target_item = np.concatenate([clicked, recs.item])[by_place]
    ends = history_ends(times[order], target_behavior)
    target_behavior, target_item = target_behavior[ends > 0], target_item[ends > 0]
    target_split = by_time(
        times[order][target_behavior], settings.validation_start, settings.test_start
    )
    user_items = np.unique(np.concatenate([clicked, recs.item]))
    num_evaluated = np.count_nonzero(target_split != SPLITS["train"])

    query = _in_sequence(sessions.query, order)
    return UserRecord(
        user=user,
        type=np.where(is_rec, REC, SEARCH),
        timestamp=times[order],
        item=_in_sequence(np.concatenate([0 * sessions.time, recs.item]), order),
        query=query,
        search_source=_in_sequence(sessions.source, order),
        query_words=take_rows(*queries, query),
        clicked_items=_clicked_rows(sessions.clicked_items, order),
        user_items=user_items,
        target_task=is_rec[target_behavior].astype(np.int64),
        target_split=target_split,
        target_behavior=target_behavior,
        target_item=target_item,
        target_history_end=ends[ends > 0],
        candidates=draw_negatives(
            user_generator(settings.seed, user),
            settings.num_items,
            user_items,
            num_evaluated,
        ).ravel(),
    )


def write_part(
    part: int,
    grouped: Path,
    num_parts: int,
    work: Path,
    directory: Path,
    settings: Settings,
) -> Summary:
    """Writes the records of one part's users as a shard.

    Args:
        part: Number of the shard.
        grouped: The file of `group_part`.
        num_parts: Number of shards.
        work: Folder of the job's own files, with `DenseIds`.
        directory: Folder for the shard.
        settings: The same for all parts.
    """
    path = directory / shard_name(part, num_parts)
    records = _records(grouped, DenseIds.load(work), settings)
    return write_shard(path, records, settings.num_items)


def _records(grouped: Path, ids: DenseIds, settings: Settings) -> Iterator[UserRecord]:
    with np.load(grouped) as arrays:
        part = dict(arrays)
    users = dense_users(ids.users, part["users"])
    rec_item = ids.items[part["rec_item"]]
    rec_time = part["rec_time"][rec_item > 0]
    rec_user, rec_item = part["rec_user"][rec_item > 0], rec_item[rec_item > 0]
    click_item = ids.items[part["click_item"]]
    click_session = part["click_session"][click_item > 0]
    click_item = click_item[click_item > 0]
    num_clicks = np.bincount(click_session, minlength=len(part["session_user"]))
    click_bounds = np.concatenate([[0], np.cumsum(num_clicks)])
    places = np.arange(len(users) + 1)
    rec_bounds = np.searchsorted(rec_user, places)
    session_bounds = np.searchsorted(part["session_user"], places)
    for place in np.flatnonzero(users):
        rec = slice(*rec_bounds[place : place + 2])
        session = slice(*session_bounds[place : place + 2])
        clicked = slice(click_bounds[session.start], click_bounds[session.stop])
        yield user_record(
            int(users[place]),
            Recommendations(rec_item[rec], rec_time[rec]),
            Sessions(
                part["session_time"][session],
                ids.queries[part["session_query"][session]],
                ids.sources[part["session_source"][session]],
                Ragged(click_item[clicked], num_clicks[session]),
            ),
            (ids.words, ids.words_splits),
            settings,
        )


def dense_users(users: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """Dense ids of raw users, 0 for those that are not in `users` (sorted)."""
    place = np.minimum(np.searchsorted(users, raw), len(users) - 1)
    return np.where(users[place] == raw, place + 1, 0)


def _in_sequence(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Values of the first behaviors before sorting, 0 for the others, sorted."""
    column = np.zeros(len(order), np.int64)
    column[: len(values)] = values
    return column[order]


def take_rows(values: np.ndarray, splits: np.ndarray, rows: np.ndarray) -> Ragged:
    """Some rows of a ragged table, given by values and row splits."""
    lengths = splits[rows + 1] - splits[rows]
    before = np.cumsum(lengths) - lengths
    within = np.arange(lengths.sum()) - np.repeat(before, lengths)
    return Ragged(values[np.repeat(splits[rows], lengths) + within], lengths)


def _clicked_rows(clicked: Ragged, order: np.ndarray) -> Ragged:
    """Each behavior's first clicked items, in the order of the sequence."""
    starts = np.cumsum(clicked.lengths) - clicked.lengths
    within = np.arange(len(clicked.values)) - np.repeat(starts, clicked.lengths)
    values = clicked.values[within < MAX_CLICKED_ITEMS]
    splits = np.zeros(len(order) + 1, np.int64)
    lengths = np.minimum(clicked.lengths, MAX_CLICKED_ITEMS)
    splits[1 : len(lengths) + 1] = lengths
    return take_rows(values, np.cumsum(splits), order)
