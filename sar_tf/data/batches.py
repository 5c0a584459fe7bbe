"""From the rows of the tasks to the inputs that models take."""

import tensorflow as tf

_REC_SLOTS = ("rec_items", "rec_positions")
_SEARCH_SLOTS = (
    "search_queries",
    "clicked_items",
    "search_sources",
    "search_positions",
)


def make_inputs(
    rows: dict[str, dict[str, tf.Tensor]], query_words: tf.Tensor, num_groups: int
) -> dict[str, dict[str, tf.Tensor]]:
    """Sorts rows by history length and cuts their histories into groups.

    Args:
        rows: For each task "user" [B], "candidates" [B, C], "query" [B] for the
            search task, and what `windows.cut_windows` returns.
        query_words: [num_queries + 1, W] the words of every query.
        num_groups: How many groups of rows there are, each as wide as the longest
            history of all tasks' rows in it; 1 keeps the rows in order and the
            histories at full width, so that shapes are static.

    Returns:
        For each task "user", "candidates", "query" and "query_words" (search), "row"
        and "history", a tuple of groups; "row" holds each row's index before sorting.
    """
    static = num_groups == 1
    inputs, members = {}, {}
    for task, task_rows in rows.items():
        length = tf.maximum(task_rows["num_recs"], task_rows["num_searches"])
        size = tf.shape(length)[0]
        order = tf.range(size) if static else tf.argsort(length, stable=True)
        inputs[task] = {"row": order}
        for name in ("user", "candidates", "query"):
            if name in task_rows:
                inputs[task][name] = tf.gather(task_rows[name], order)
        if "query" in task_rows:
            query = inputs[task]["query"]
            inputs[task]["query_words"] = tf.gather(query_words, query)
        ends = [size * (group + 1) // num_groups for group in range(num_groups)]
        members[task] = [
            order[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)
        ]
    widths = [
        {} if static else _widths(rows, {task: members[task][group] for task in rows})
        for group in range(num_groups)
    ]
    for task, task_rows in rows.items():
        inputs[task]["history"] = tuple(
            _make_group(task_rows, row, query_words, width)
            for row, width in zip(members[task], widths, strict=True)
        )
    return inputs


def _widths(
    rows: dict[str, dict[str, tf.Tensor]], members: dict[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """The longest history among a group's rows of all tasks, 1 at least."""
    return {
        name: tf.reduce_max(
            tf.concat(
                [tf.gather(rows[task][name], row) for task, row in members.items()]
                + [[1]],
                axis=0,
            )
        )
        for name in ("num_recs", "num_searches")
    }


def _make_group(
    rows: dict[str, tf.Tensor],
    order: tf.Tensor,
    query_words: tf.Tensor,
    widths: dict[str, tf.Tensor],
) -> dict[str, tf.Tensor]:
    def slots(names: tuple[str, ...], number: str) -> dict[str, tf.Tensor]:
        taken = {name: tf.gather(rows[name], order) for name in names}
        if widths:
            taken = {name: slot[:, : widths[number]] for name, slot in taken.items()}
        return taken

    group = slots(_REC_SLOTS, "num_recs") | slots(_SEARCH_SLOTS, "num_searches")
    queries = group["search_queries"]
    group["search_words"] = tf.gather(query_words, queries)
    slot = tf.range(queries.shape[1] or tf.shape(queries)[1])
    num_searches = tf.gather(rows["num_searches"], order)
    group["search_mask"] = slot < num_searches[:, None]
    return group


def distinct_pairs(
    rows: dict[str, tf.Tensor], query_words: tf.Tensor, num_items: int
) -> dict[str, tf.Tensor]:
    """The distinct (query, clicked item) pairs of a batch's histories.

    Neighbours in time share most of their histories, and popular items recur, so
    that the query-item loss is much cheaper on distinct pairs.

    Args:
        rows: "search_queries" [B, N] and "clicked_items" [B, N, K].
        query_words: [num_queries + 1, W] the words of every query.
        num_items: The highest item.

    Returns:
        "queries", "items" and "counts" (float) [P], "query_words" [P, W].
    """
    items = tf.cast(rows["clicked_items"], tf.int64)
    queries = tf.cast(rows["search_queries"], tf.int64)[:, :, None]
    keys = tf.boolean_mask(queries * (num_items + 1) + items, items > 0)
    keys, _, counts = tf.unique_with_counts(keys)
    queries = tf.cast(keys // (num_items + 1), tf.int32)
    return {
        "queries": queries,
        "items": tf.cast(keys % (num_items + 1), tf.int32),
        "counts": tf.cast(counts, tf.float32),
        "query_words": tf.gather(query_words, queries),
    }


def sample_queries_and_items(
    num_sampled: int, num_items: int, query_words: tf.Tensor, seed: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Draws items and queries uniformly, for the query-item loss.

    Returns:
        "sampled_items" and "sampled_queries" [S], "sampled_query_words" [S, W].
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
