"""Cuts the histories of many targets at once out of many users' sequences."""

from typing import NamedTuple

import tensorflow as tf

from sar_tf.data.schema import REC
from sar_tf.data.sessions import Sessions


class Sequences(NamedTuple):
    """The N behaviors of many users, laid out so that a window is one gather.

    The R recommendations and S searches are listed apart, in the order of the
    sequences; each list ends with an empty row that stands for padding.
    """

    rec_before: tf.Tensor  # (N + 1,) recommendations before each behavior
    rec_behavior: tf.Tensor  # (R + 1,) index among the N behaviors
    rec_item: tf.Tensor  # (R + 1,)
    search_behavior: tf.Tensor  # (S + 1,) index among the N behaviors
    search_query: tf.Tensor  # (S + 1,)
    search_source: tf.Tensor  # (S + 1,)
    clicked_items: tf.Tensor  # (S + 1, K), padded with 0


def index_sequences(flat: dict[str, tf.Tensor], max_clicked_items: int) -> Sequences:
    """Lists recommendations and searches apart.

    Args:
        flat: Result of `schema.parse_records`, as int32.
        max_clicked_items: K; the first K clicked items of a session are kept.
    """
    is_rec = tf.equal(flat["type"], REC)
    rec_before = tf.cumsum(tf.cast(is_rec, tf.int32))
    rec = _indices_where(is_rec)
    search = _indices_where(~is_rec)
    clicked = tf.RaggedTensor.from_row_splits(
        flat["clicked_items"], flat["clicked_items_splits"], validate=False
    )
    clicked = tf.gather(clicked, search).to_tensor(shape=[None, max_clicked_items])
    return Sequences(
        rec_before=tf.pad(rec_before, [[1, 0]]),
        rec_behavior=_add_empty(rec),
        rec_item=_add_empty(tf.gather(flat["item"], rec)),
        search_behavior=_add_empty(search),
        search_query=_add_empty(tf.gather(flat["query"], search)),
        search_source=_add_empty(tf.gather(flat["search_source"], search)),
        clicked_items=_add_empty(clicked),
    )


def cut_windows(
    sequences: Sequences,
    start: tf.Tensor,
    end: tf.Tensor,
    max_rec_history: int,
    max_search_history: int,
    sessions: Sessions | None = None,
) -> dict[str, tf.Tensor]:
    """The last recommendations and searches among behaviors [start, end).

    Both are left-aligned, oldest first. A position is the rank in time of a slot
    among all slots. Empty recommendation slots come after all behaviors, empty
    search slots come last.

    Args:
        sequences: Sequences of the targets' block.
        start: `(T,)` first behavior of each target's user.
        end: `(T,)` first behavior after the history.
        max_rec_history: Number of recommendation slots, nr.
        max_search_history: Number of search slots, ns.
        sessions: Those of the behaviors and of the targets, where they are wanted.

    Returns:
        int32 tensors: "num_recs" and "num_searches" `(T,)`; "rec_items" and
        "rec_positions" `(T, nr)`; "search_queries", "search_sources" and
        "search_positions" `(T, ns)`; "clicked_items" `(T, ns, K)`; with sessions
        "rec_sessions" `(T, nr)` and "search_sessions" `(T, ns)`, 0 in empty slots.
    """
    rec_start = tf.gather(sequences.rec_before, start)
    rec_end = tf.gather(sequences.rec_before, end)
    # All other behaviors are searches.
    search_start, search_end = start - rec_start, end - rec_end
    num_recs = tf.minimum(rec_end - rec_start, max_rec_history)
    num_searches = tf.minimum(search_end - search_start, max_search_history)
    first_rec, first_search = rec_end - num_recs, search_end - num_searches

    def slots(first, number, width, behavior_index):
        slot = tf.range(width)
        filled = slot < number[:, None]
        empty_row = tf.shape(behavior_index)[0] - 1
        row = tf.where(filled, first[:, None] + slot, empty_row)
        # Behaviors of the other type before this one: its index minus its row.
        behavior = tf.gather(behavior_index, row)
        return slot, filled, row, behavior - row, session_of(behavior, filled)

    def session_of(behavior, filled):
        if sessions is None:
            return None
        own = tf.gather(_add_empty(sessions.of_behavior), behavior)
        return tf.where(filled, sessions.of_target[:, None] - own, 0)

    slot, filled, rec_row, searches_before, rec_sessions = slots(
        first_rec, num_recs, max_rec_history, sequences.rec_behavior
    )
    rec_positions = slot + tf.where(
        filled,
        tf.maximum(searches_before - first_search[:, None], 0),
        num_searches[:, None],
    )
    slot, filled, search_row, recs_before, search_sessions = slots(
        first_search, num_searches, max_search_history, sequences.search_behavior
    )
    search_positions = slot + tf.where(
        filled, tf.maximum(recs_before - first_rec[:, None], 0), max_rec_history
    )
    windows = {
        "num_recs": num_recs,
        "num_searches": num_searches,
        "rec_items": tf.gather(sequences.rec_item, rec_row),
        "rec_positions": rec_positions,
        "search_queries": tf.gather(sequences.search_query, search_row),
        "search_sources": tf.gather(sequences.search_source, search_row),
        "search_positions": search_positions,
        "clicked_items": tf.gather(sequences.clicked_items, search_row),
    }
    if sessions is not None:
        windows["rec_sessions"] = rec_sessions
        windows["search_sessions"] = search_sessions
    return windows


def _indices_where(condition: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.where(condition)[:, 0], tf.int32)


def _add_empty(rows: tf.Tensor) -> tf.Tensor:
    return tf.pad(rows, [[0, 1]] + [[0, 0]] * (rows.shape.rank - 1))
