"""Users as of now: batches of their whole histories, whatever the targets are."""

from collections.abc import Iterator, Sequence

import tensorflow as tf

from sar_tf.data.batches import make_batch
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.data.records import read_blocks
from sar_tf.data.schema import parse_records
from sar_tf.data.sessions import Sessions, number_sessions
from sar_tf.data.targets import plain_graph
from sar_tf.data.windows import cut_windows, index_sequences

_FIELDS = ("user", "type", "item", "query", "search_source", "clicked_items")


def users_now(
    data: BatchPipeline,
    size: int,
    users: Sequence[int] | None = None,
    skipped: int = 0,
) -> Iterator[dict[str, dict]]:
    """Batches of the recommendation task, one row a user, in the order of the records.

    A history has the last behaviors of the user's record. Its newest session is taken
    for the one that the user is in. There are no candidates: one 0 stands for them.

    Args:
        data: The dataset, the limits of histories, and the needs.
        size: Users of a batch.
        users: What `dense_ids` gives of the users; None is all.
        skipped: Number of batches that are left out at the start.

    Raises:
        DatasetError: A shard is damaged.
    """
    records = read_blocks(data.dataset, None)
    if users is not None:
        chosen = tf.constant(users, tf.int64)

        @plain_graph
        def choose(serialized: tf.Tensor) -> tf.Tensor:
            own = parse_records(serialized, ("user",))["user"]
            place = tf.minimum(tf.searchsorted(chosen, own), tf.size(chosen) - 1)
            return tf.boolean_mask(serialized, tf.gather(chosen, place) == own)

        records = records.map(choose)

    for serialized in records.rebatch(size).skip(skipped).prefetch(1):
        rows = {"rec": _rows(data, serialized)}
        yield make_batch(rows, data.query_words, num_groups=1, needs=data.made_inputs)


def _rows(data, serialized):
    """The columns of `make_batch` of a block of users."""
    flat = parse_records(serialized, (*_FIELDS, "timestamp"))
    times = flat.pop("timestamp")
    flat = {name: tf.cast(column, tf.int32) for name, column in flat.items()}
    spec = data.spec
    splits = flat["sequence_splits"]
    sessions = number_sessions(times, data.session_minutes)
    rows = cut_windows(
        index_sequences(flat, spec.max_clicked_items),
        start=splits[:-1],
        end=splits[1:],
        max_rec_history=spec.max_rec_history,
        max_search_history=spec.max_search_history,
        # That of users without behaviors is not read.
        sessions=Sessions(sessions, tf.gather(sessions, tf.maximum(splits[1:] - 1, 0))),
    )
    rows["user"] = flat["user"]
    rows["history_end"] = splits[1:] - splits[:-1]
    rows["candidates"] = tf.zeros_like(flat["user"])[:, None]
    return rows
