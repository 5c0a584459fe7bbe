"""From the rows of one task to the inputs that models take."""

import tensorflow as tf

_REC_SLOTS = ("rec_items", "rec_positions")
_SEARCH_SLOTS = (
    "search_queries",
    "clicked_items",
    "search_sources",
    "search_positions",
)


def make_inputs(
    rows: dict[str, tf.Tensor], query_words: tf.Tensor, num_groups: int
) -> dict[str, tf.Tensor]:
    """Sorts rows by history length and cuts their histories into groups.

    Args:
        rows: "user" [B], "candidates" [B, C], "query" [B] for the search task, and
            what `windows.cut_windows` returns.
        query_words: [num_queries + 1, W] the words of every query.
        num_groups: How many groups of rows there are, each as wide as its longest
            history; 1 keeps the rows in order and the histories at full width, so
            that shapes are static.

    Returns:
        "user", "candidates", "query" and "query_words" (search), "row" and
        "history", a tuple of groups; "row" holds each row's index before sorting.
    """
    length = tf.maximum(rows["num_recs"], rows["num_searches"])
    size = tf.shape(length)[0]
    static = num_groups == 1
    order = tf.range(size) if static else tf.argsort(length, stable=True)
    inputs = {"row": order}
    for name in ("user", "candidates", "query"):
        if name in rows:
            inputs[name] = tf.gather(rows[name], order)
    if "query" in rows:
        inputs["query_words"] = tf.gather(query_words, inputs["query"])
    ends = [size * (group + 1) // num_groups for group in range(num_groups)]
    inputs["history"] = tuple(
        _make_group(rows, order[start:end], query_words, trim=not static)
        for start, end in zip([0, *ends[:-1]], ends, strict=True)
    )
    return inputs


def _make_group(
    rows: dict[str, tf.Tensor], order: tf.Tensor, query_words: tf.Tensor, trim: bool
) -> dict[str, tf.Tensor]:
    def slots(names: tuple[str, ...], number: tf.Tensor) -> dict[str, tf.Tensor]:
        taken = {name: tf.gather(rows[name], order) for name in names}
        if trim:
            width = tf.reduce_max(tf.concat([number, [1]], axis=0))
            taken = {name: slot[:, :width] for name, slot in taken.items()}
        return taken

    num_searches = tf.gather(rows["num_searches"], order)
    group = slots(_REC_SLOTS, tf.gather(rows["num_recs"], order))
    group |= slots(_SEARCH_SLOTS, num_searches)
    queries = group["search_queries"]
    group["search_words"] = tf.gather(query_words, queries)
    slot = tf.range(queries.shape[1] or tf.shape(queries)[1])
    group["search_mask"] = slot < num_searches[:, None]
    return group


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
