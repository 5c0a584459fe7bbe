"""From the rows of the tasks to the inputs that models take."""

import itertools

import tensorflow as tf

_REC_SLOTS = ("rec_items", "rec_positions")
_SEARCH_SLOTS = (
    "search_queries",
    "clicked_items",
    "search_sources",
    "search_positions",
)


def fill_up(rows: dict[str, tf.Tensor], size: int) -> dict[str, tf.Tensor]:
    """Adds empty rows up to a static size; "is_target" [size] tells them apart."""
    number = tf.shape(rows["user"])[0]
    filled = {"is_target": tf.range(size) < number}
    for name, column in rows.items():
        paddings = [[0, size - number]] + [[0, 0]] * (column.shape.rank - 1)
        filled[name] = tf.ensure_shape(
            tf.pad(column, paddings), [size, *column.shape[1:]]
        )
    return filled


def make_inputs(
    rows: dict[str, dict[str, tf.Tensor]], query_words: tf.Tensor, num_groups: int
) -> dict[str, dict[str, tf.Tensor]]:
    """Cuts the histories of all tasks' rows into groups of like length.

    Args:
        rows: For each task "user" and "history_end" [B], "candidates" [B, C], "query"
            [B] for the search task, and what `windows.cut_windows` returns. "user" and
            "history_end" tell whether two rows have the same history.
        query_words: [num_queries + 1, W] the words of every query.
        num_groups: How many groups of histories there are, each as wide as the longest
            in it. 1 keeps every row's history, the rows in order and the histories at
            full width, so that shapes are static.

    Returns:
        For each task "user", "candidates", "query" and "query_words" (search), "row",
        each row's index before sorting, and

        - with one group, "history", a tuple of that group, and "is_target", false for
          rows that `fill_up` added;
        - with more, "history_rows", a tuple of each group's rows of this task, as
          indices of the group's histories. The first task's "history" is a tuple of
          the groups of all tasks' distinct histories: targets of both tasks often have
          one in common.
    """
    if num_groups == 1:
        return {
            task: _keep_rows(columns, query_words) for task, columns in rows.items()
        }
    histories, of_row = _distinct_histories(rows)
    length = tf.maximum(histories["num_recs"], histories["num_searches"])
    by_length = tf.argsort(length, stable=True)
    size = tf.shape(length)[0]
    ends = [size * group // num_groups for group in range(num_groups + 1)]
    inputs = {}
    for task, columns in rows.items():
        place = tf.gather(tf.math.invert_permutation(by_length), of_row[task])
        order = tf.argsort(place, stable=True)
        place = tf.gather(place, order)
        cuts = tf.unstack(tf.searchsorted(place, ends))
        inputs[task] = _in_order(columns, order, query_words)
        inputs[task]["history_rows"] = tuple(
            place[cut:next_cut] - end
            for cut, next_cut, end in zip(cuts, cuts[1:], ends, strict=False)
        )
    inputs[next(iter(rows))]["history"] = tuple(
        _make_group(histories, by_length[start:end], query_words)
        for start, end in itertools.pairwise(ends)
    )
    return inputs


def _keep_rows(
    columns: dict[str, tf.Tensor], query_words: tf.Tensor
) -> dict[str, tf.Tensor]:
    """The inputs of one task, each row with a history of its own."""
    size = columns["user"].shape[0]
    inputs = _in_order(columns, tf.range(size), query_words)
    group = {name: columns[name] for name in (*_REC_SLOTS, *_SEARCH_SLOTS)}
    return inputs | {"history": (_complete(group, columns, query_words),)}


def _in_order(
    columns: dict[str, tf.Tensor], order: tf.Tensor, query_words: tf.Tensor
) -> dict[str, tf.Tensor]:
    """A task's inputs without its histories."""
    inputs = {"row": order}
    for name in ("user", "candidates", "query", "is_target"):
        if name in columns:
            inputs[name] = tf.gather(columns[name], order)
    if "query" in inputs:
        inputs["query_words"] = tf.gather(query_words, inputs["query"])
    return inputs


def _distinct_histories(
    rows: dict[str, dict[str, tf.Tensor]],
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """The distinct histories of all tasks' rows, and which one each row has."""
    names = ("num_recs", "num_searches", *_REC_SLOTS, *_SEARCH_SLOTS)
    keys = {
        task: tf.bitcast(
            tf.stack([columns["history_end"], columns["user"]], axis=-1), tf.int64
        )
        for task, columns in rows.items()
    }
    keys_of_all = tf.concat(list(keys.values()), axis=0)
    distinct, of_row = tf.unique(keys_of_all)
    position = tf.range(tf.shape(of_row)[0])
    first = tf.math.unsorted_segment_min(position, of_row, tf.shape(distinct)[0])
    histories = {
        name: tf.gather(
            tf.concat([columns[name] for columns in rows.values()], axis=0), first
        )
        for name in names
    }
    sizes = [tf.shape(key)[0] for key in keys.values()]
    return histories, dict(zip(rows, tf.split(of_row, sizes), strict=True))


def _make_group(
    histories: dict[str, tf.Tensor], members: tf.Tensor, query_words: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Some histories, as wide as the longest of them, 1 at least."""
    group, numbers = {}, {}
    for number, names in (("num_recs", _REC_SLOTS), ("num_searches", _SEARCH_SLOTS)):
        numbers[number] = tf.gather(histories[number], members)
        width = tf.reduce_max(tf.concat([numbers[number], [1]], axis=0))
        for name in names:
            group[name] = tf.gather(histories[name], members)[:, :width]
    return _complete(group, numbers, query_words)


def _complete(
    group: dict[str, tf.Tensor], numbers: dict[str, tf.Tensor], query_words: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Adds the words of the queries and the mask of the searches."""
    queries = group["search_queries"]
    slot = tf.range(queries.shape[1] or tf.shape(queries)[1])
    return group | {
        "search_words": tf.gather(query_words, queries),
        "search_mask": slot < numbers["num_searches"][:, None],
    }


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
