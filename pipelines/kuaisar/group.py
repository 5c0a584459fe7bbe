"""Groups KuaiSAR's rows into behaviors."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipelines.common.behaviors import REC, SEARCH, Behaviors, group_behaviors
from pipelines.common.codes import load_codes
from pipelines.common.report import BadRow
from pipelines.kuaisar.repeats import is_foreign, repeated_clicks
from sar_tf.paths import AnyPath

MIN_INTERACTIONS = 5
RULES = ("in the logs", "in the last two days", "only one behavior")
LAST_RULE = f"fewer than {MIN_INTERACTIONS} interactions"

Chunks = Sequence[tuple[int, np.ndarray]]  # Number of each piece, and rows of it.


class BadRows(NamedTuple):
    """Malformed rows of both logs that show only beside others: piece and row."""

    rec: list[tuple[int, BadRow]]
    search: list[tuple[int, BadRow]]


def group_rows(
    rec: Chunks, search: Chunks, foreign: np.ndarray, work: AnyPath
) -> tuple[Behaviors, BadRows]:
    """Groups all rows of some users into behaviors.

    A behavior is a clicked recommendation or a search session. A repeated click counts
    once. A session has all rows of one session id.

    Args:
        rec: Rows of REC in each piece, in the order of the file.
        search: Rows of SEARCH in each piece.
        foreign: See `foreign_pairs`; these rows are malformed.
        work: The job's own folder, with what `save_codes` saved of "item".
    """
    rec_rows, rec_piece = _joined(rec, REC)
    search_rows, search_piece = _joined(search, SEARCH)
    bad = BadRows([], [])
    repeated = repeated_clicks(rec_rows)
    catalogue = load_codes(work, "item")
    for row in np.flatnonzero(repeated).tolist():
        user, item, time, line = rec_rows[row].tolist()
        text = f"{user} {catalogue[item]} {time}"
        bad.rec.append((int(rec_piece[row]), BadRow(line, "repeated click", text)))
    strange = is_foreign(search_rows, foreign)
    for row in np.flatnonzero(strange).tolist():
        session, user = search_rows["session"][row], search_rows["user"][row]
        text = f"user {user}, session {session}"
        line = int(search_rows["line"][row])
        found = BadRow(line, "session id of another user", text)
        bad.search.append((int(search_piece[row]), found))
    return group_behaviors(rec_rows[~repeated], search_rows[~strange]), bad


def rules(behaviors: Behaviors, end_time: int) -> tuple[Behaviors, ...]:
    """What is left after each of `RULES`; behaviors from `end_time` on are dropped."""
    in_time = behaviors.take(
        behaviors.rec["time"] < end_time, behaviors.sessions["time"] < end_time
    )
    return behaviors, in_time, in_time.of_users_with_both()


def _joined(chunks: Chunks, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    piece = np.repeat([index for index, _ in chunks], [len(rows) for _, rows in chunks])
    return np.concatenate([np.zeros(0, dtype), *(rows for _, rows in chunks)]), piece
