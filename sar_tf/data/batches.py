"""Makes the batches of models from the rows of the tasks."""

import itertools
from collections.abc import Collection

import tensorflow as tf

from sar_tf.data.history_groups import group_ends
from sar_tf.inputs import INPUTS
from sar_tf.needs import reads_history

_LENGTHS = ("num_recs", "num_searches")


def fill_up(rows: dict[str, tf.Tensor], size: int) -> dict[str, tf.Tensor]:
    """Adds empty rows up to a static size; "is_target" [size] is false for them."""
    number = tf.shape(rows["user"])[0]
    filled = {"is_target": tf.range(size) < number}
    for name, column in rows.items():
        paddings = [[0, size - number]] + [[0, 0]] * (column.shape.rank - 1)
        filled[name] = tf.ensure_shape(
            tf.pad(column, paddings), [size, *column.shape[1:]]
        )
    return filled


def make_batch(
    rows: dict[str, dict[str, tf.Tensor]],
    query_words: tf.Tensor,
    num_groups: int,
    needs: Collection[str],
) -> dict[str, dict[str, tf.Tensor]]:
    """A batch as `sar_tf.inputs` describes it, without draws.

    Args:
        rows: For each task "user" and "history_end" `(B,)`, "candidates" `(B, C)`,
            "query" `(B,)` for the search task, the columns of `windows.cut_windows`,
            and inputs that were looked up in the clicks of training. Rows of equal
            "user" and "history_end" have the same history.
        query_words: `(num_queries + 1, W)` the words of every query.
        num_groups: Number of groups of histories of similar length, see
            `history_groups`. With 1, every row has its own history and all shapes are
            static. With more, the batch has the distinct histories of all tasks, sorted
            by length: targets of both tasks often share one.
        needs: Names of the inputs to make.
    """
    batch = {}
    of_row = {}
    if reads_history(needs):
        if num_groups == 1:
            histories, of_row = _histories_of_rows(rows)
        else:
            histories, of_row = _distinct_histories(rows)
        batch["history"] = _complete(histories, query_words, num_groups, needs)
    for task, columns in rows.items():
        size = tf.shape(columns["user"])[0]
        inputs = {
            "candidates": columns["candidates"],
            "history_row": of_row.get(task, tf.zeros_like(columns["user"])),
            "is_target": columns.get("is_target", tf.fill([size], True)),
        }
        if "user" in needs:
            inputs["user"] = columns["user"]
        if task == "search" and "query" in needs:
            inputs["query"] = columns["query"]
        if task == "search" and "query_words" in needs:
            inputs["query_words"] = tf.gather(query_words, columns["query"])
        inputs |= {n: columns[n] for n in needs if n in columns and _is_looked_up(n)}
        batch[task] = inputs
    return batch


def _is_looked_up(name):
    return INPUTS[name].of_training and INPUTS[name].part == "row"


def _concatenate(rows, names):
    """Columns of all tasks' rows, one task after another."""
    return {
        name: tf.concat([columns[name] for columns in rows.values()], axis=0)
        for name in names
    }


def _column_names(rows):
    """The history's columns that the rows have."""
    first = next(iter(rows.values()))
    return [
        name
        for name in first
        if name in _LENGTHS or (name in INPUTS and INPUTS[name].part == "history")
    ]


def _histories_of_rows(rows):
    """Each row's own history, in the order of the rows."""
    histories = _concatenate(rows, _column_names(rows))
    of_row, start = {}, 0
    for task, columns in rows.items():
        size = columns["user"].shape[0]
        of_row[task] = tf.range(start, start + size)
        start += size
    return histories, of_row


def _distinct_histories(rows):
    """Distinct histories of all tasks, sorted by length; each row's index into them."""
    keys = tf.concat(
        [
            tf.bitcast(
                tf.stack([columns["history_end"], columns["user"]], axis=-1), tf.int64
            )
            for columns in rows.values()
        ],
        axis=0,
    )
    distinct, of_row = tf.unique(keys)
    position = tf.range(tf.shape(of_row)[0])
    first = tf.math.unsorted_segment_min(position, of_row, tf.shape(distinct)[0])
    columns = _concatenate(rows, _column_names(rows))
    lengths = [tf.gather(columns[name], first) for name in _LENGTHS]
    by_length = tf.argsort(tf.maximum(*lengths), stable=True)
    first = tf.gather(first, by_length)
    histories = {name: tf.gather(column, first) for name, column in columns.items()}
    place = tf.gather(tf.math.invert_permutation(by_length), of_row)
    sizes = [tf.shape(columns["user"])[0] for columns in rows.values()]
    return histories, dict(zip(rows, tf.split(place, sizes), strict=True))


def _complete(histories, query_words, num_groups, needs):
    """The batch's "history": its arrays, and the ends and widths of its groups."""
    completed = {name: histories[name] for name in needs if name in histories}
    if "search_words" in needs:
        completed["search_words"] = tf.gather(query_words, histories["search_queries"])
    if "search_mask" in needs:
        slot = tf.range(histories["search_queries"].shape[1])
        completed["search_mask"] = slot < histories["num_searches"][:, None]
    longest = max(histories[name].shape[1] for name in ("rec_items", "search_queries"))
    lengths = tf.maximum(*(histories[name] for name in _LENGTHS))
    if num_groups == 1:
        ends = tf.shape(lengths)
    else:
        ends = group_ends(lengths, num_groups, longest)
    completed["group_ends"] = ends
    ends = [0, *tf.unstack(ends)]
    for name, length in zip(("rec_widths", "search_widths"), _LENGTHS, strict=True):
        completed[name] = tf.stack(
            [
                # A group without histories is one slot wide.
                tf.reduce_max(tf.concat([histories[length][start:end], [1]], axis=0))
                for start, end in itertools.pairwise(ends)
            ]
        )
    return completed


def list_pairs(
    rows: dict[str, tf.Tensor],
    query_words: tf.Tensor,
    num_items: int,
    distinct: bool,
) -> dict[str, tf.Tensor]:
    """The (query, clicked item) pairs of a task's histories.

    Args:
        rows: "search_queries" `(B, N)` and "clicked_items" `(B, N, K)`.
        query_words: `(num_queries + 1, W)` the words of every query.
        num_items: Highest item id.
        distinct: Whether to list each pair once. Targets close in time share most of
            their histories, and popular items recur, so the query-item loss is much
            cheaper on distinct pairs. If false, there is one pair for each slot, with
            count 0 for an empty slot: a static number.

    Returns:
        "pair_queries", "pair_items" and "pair_counts" (float) `(P,)`,
        "pair_query_words" `(P, W)`.
    """
    items, queries = rows["clicked_items"], rows["search_queries"][:, :, None]
    queries = tf.broadcast_to(queries, tf.shape(items))
    if distinct:
        keys = tf.cast(queries, tf.int64) * (num_items + 1) + tf.cast(items, tf.int64)
        keys, _, counts = tf.unique_with_counts(tf.boolean_mask(keys, items > 0))
        queries = tf.cast(keys // (num_items + 1), tf.int32)
        items = tf.cast(keys % (num_items + 1), tf.int32)
    else:
        size = rows["clicked_items"].shape.num_elements()
        queries, items = (tf.reshape(x, [size]) for x in (queries, items))
        counts = items > 0
    return {
        "pair_queries": queries,
        "pair_items": items,
        "pair_counts": tf.cast(counts, tf.float32),
        "pair_query_words": tf.gather(query_words, queries),
    }


def list_sequences(rows: dict[str, tf.Tensor], only_last: bool) -> dict[str, tf.Tensor]:
    """The sequences of the users whose last target is among the rows.

    Histories of a user's targets overlap. A loss on all positions of a history reads
    one sequence of each user in an epoch instead, so that it counts no behavior twice.

    Args:
        rows: "rec_items" `(B, N)`, "num_recs" and "is_last" `(B,)`, "candidates"
            `(B, C)` and, if there are any, "sequence_negatives" `(B, N + 1)`.
        only_last: Whether to list these sequences alone. If false, there is one row
            for each of the rows, empty where it is not the last: a static number.

    Returns:
        "sequence_items" `(Q, N + 1)`, the history and the positive behind it, and, if
        there are any, "sequence_negatives" `(Q, N + 1)`, 0 in empty slots.
    """
    items = tf.pad(rows["rec_items"], [[0, 0], [0, 1]])
    is_positive = tf.range(items.shape[1]) == rows["num_recs"][:, None]
    items = tf.where(is_positive, rows["candidates"][:, :1], items)
    sequences = {"sequence_items": tf.where(rows["is_last"][:, None], items, 0)}
    if "sequence_negatives" in rows:
        drawn = rows["sequence_negatives"]
        has_item = sequences["sequence_items"] > 0
        sequences["sequence_negatives"] = tf.where(has_item, drawn, 0)
    if only_last:
        for name, column in sequences.items():
            sequences[name] = tf.boolean_mask(column, rows["is_last"])
    return sequences


def sample_queries_and_items(
    num_sampled: int, num_items: int, query_words: tf.Tensor, seed: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Draws items and queries uniformly, for the query-item loss.

    Returns:
        "sampled_items" and "sampled_queries" `(S,)`, "sampled_query_words" `(S, W)`.
    """

    def draw(highest: int, stream: int) -> tf.Tensor:
        return tf.random.stateless_uniform(
            [num_sampled],
            tf.random.experimental.stateless_fold_in(seed, stream),
            minval=min(highest, 1),
            maxval=highest + 1,
            dtype=tf.int32,
        )

    queries = draw(query_words.shape[0] - 1, 0)
    return {
        "sampled_items": draw(num_items, 1),
        "sampled_queries": queries,
        "sampled_query_words": tf.gather(query_words, queries),
    }
