"""Builds the records of users from their behaviors."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pipelines.common.dense_ids import DenseIds
from pipelines.common.disk import open_arrays
from pipelines.common.negatives import NUM_CANDIDATES, draw_negatives, user_generator
from pipelines.common.ragged import RaggedTable, find_sorted
from pipelines.common.splits import Splits, history_ends
from pipelines.common.writer import ShardSummary, shard_name, write_shard
from sar_tf.data.schema import REC, SEARCH, SPLITS, Ragged, UserRecord
from sar_tf.paths import AnyPath

# Clicked items of a session in a history; all clicked items are targets.
MAX_CLICKED_ITEMS = 5


class Recommendations(NamedTuple):
    """One user's clicked recommendations, `(R,)` each, by time."""

    item: np.ndarray
    time: np.ndarray


class Sessions(NamedTuple):
    """One user's search sessions, `(S,)` each, by time."""

    time: np.ndarray
    query: np.ndarray
    source: np.ndarray
    clicked_items: Ragged  # S rows.


class Settings(NamedTuple):
    """Settings for the records of all users."""

    num_items: int
    splits: Splits
    seed: int
    num_negatives: int = NUM_CANDIDATES  # Stored for a validation or test target.


def user_record(
    user: int,
    recs: Recommendations,
    sessions: Sessions,
    query_words: RaggedTable,
    settings: Settings,
) -> UserRecord:
    """Builds a user's record, in dense ids; the same arguments give the same record.

    A search comes before a recommendation of the same time. Every clicked
    recommendation is a recommendation target and every clicked item of a session a
    search target, unless the user did nothing before.

    Args:
        user: Dense id.
        recs: The user's clicked recommendations.
        sessions: The user's search sessions.
        query_words: Dense words of query 0 (none), 1, …
        settings: The same for all users.
    """
    num_sessions = len(sessions.time)
    times = np.concatenate([sessions.time, recs.time])
    order = np.argsort(times, kind="stable")
    place = np.argsort(order)  # Place of each behavior in the sequence.
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
    target_split = settings.splits.of(times[order], target_behavior)
    user_items = np.unique(np.concatenate([clicked, recs.item]))
    num_evaluated = np.count_nonzero(target_split != SPLITS["train"])

    query = _in_sequence(sessions.query, order)
    words = query_words.take(query)
    return UserRecord(
        user=user,
        type=np.where(is_rec, REC, SEARCH),
        timestamp=times[order],
        item=_in_sequence(np.concatenate([0 * sessions.time, recs.item]), order),
        query=query,
        search_source=_in_sequence(sessions.source, order),
        query_words=Ragged(words.values, words.lengths),
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
            settings.num_negatives,
        ).ravel(),
    )


def write_part(
    part: int,
    grouped: AnyPath,
    num_parts: int,
    work: AnyPath,
    directory: AnyPath,
    settings: Settings,
) -> ShardSummary:
    """Writes the records of one part's users as a shard.

    Args:
        part: Number of the shard.
        grouped: The file of `save_behaviors`.
        num_parts: Number of shards.
        work: Folder of the job's own files, with `DenseIds`.
        directory: Folder for the shard.
        settings: The same for all parts.
    """
    path = directory / shard_name(part, num_parts)
    records = part_records(grouped, DenseIds.load(work), settings)
    return write_shard(path, records, settings.num_items)


def part_records(
    grouped: AnyPath, ids: DenseIds, settings: Settings
) -> Iterator[UserRecord]:
    """Builds the records of one part's users.

    Args:
        grouped: The file of `save_behaviors`.
        ids: Dense ids; of users at least the part's own.
        settings: The same for all parts.
    """
    with open_arrays(grouped) as arrays:
        part = dict(arrays)
    place, is_kept = find_sorted(ids.users, part["users"])
    users = np.where(is_kept, ids.user_ids[place], 0)
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
    for place in np.argsort(users)[np.count_nonzero(users == 0) :]:
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
            ids.query_words,
            settings,
        )


def _in_sequence(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Pads a column with 0 for the last behaviors, then puts it into `order`."""
    column = np.zeros(len(order), np.int64)
    column[: len(values)] = values
    return column[order]


def _clicked_rows(clicked: Ragged, order: np.ndarray) -> Ragged:
    """Each behavior's first clicked items, in the order of the sequence."""
    starts = np.cumsum(clicked.lengths) - clicked.lengths
    within = np.arange(len(clicked.values)) - np.repeat(starts, clicked.lengths)
    values = clicked.values[within < MAX_CLICKED_ITEMS]
    lengths = np.zeros(len(order), np.int64)  # 0 for the recommendations.
    lengths[: len(clicked.lengths)] = np.minimum(clicked.lengths, MAX_CLICKED_ITEMS)
    rows = RaggedTable.from_lengths(values, lengths).take(order)
    return Ragged(rows.values, rows.lengths)
