"""Draws what may stand for the queries and clicks of a history, to augment it."""

from typing import NamedTuple

import tensorflow as tf

from sar_tf.data.neighbors import Neighbors, index_neighbors, neighbors_before
from sar_tf.data.training_edges import Edges


class Replacements(NamedTuple):
    """The clicks of training searches, by query and by item."""

    of_query: Neighbors  # Its items.
    of_item: Neighbors  # Its queries.


def index_replacements(edges: Edges, num_queries: int, num_items: int) -> Replacements:
    """Prepares `draw_replacements`.

    Args:
        edges: As `read_training_edges`.
        num_queries, num_items: Highest ids.
    """
    edges = edges.of_searches()
    return Replacements(
        index_neighbors(edges.query, edges.item, edges, num_queries),
        index_neighbors(edges.item, edges.query, edges, num_items),
    )


def draw_replacements(
    index: Replacements,
    rows: dict[str, tf.Tensor],
    query_words: tf.Tensor,
    seed: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """Other items for the clicks of histories, and other queries for their searches.

    Those of the graph are drawn from clicks that are strictly earlier than the target.

    Args:
        index: As `index_replacements`.
        rows: "search_queries" `(B, N)`, "clicked_items" `(B, N, K)` and the target's
            "time" `(B,)`.
        query_words: `(num_queries + 1, W)` the words of every query.
        seed: `(2,)` seed of the draws.

    Returns:
        "other_clicked_items" `(B, N, K)`, "other_search_words" and
        "random_search_words" `(B, N, W)`, as `sar_tf.inputs` describes them.
    """
    queries, clicked = rows["search_queries"], rows["clicked_items"]
    time = rows["time"][:, None]
    draws = tf.random.stateless_uniform(
        tf.concat([tf.shape(queries), [tf.shape(clicked)[2] + 2]], axis=0), seed
    )
    items, _ = neighbors_before(index.of_query, queries, time, draws[..., :-2])
    # A query's token is before that of its first click.
    others, _ = neighbors_before(
        index.of_item, clicked[..., 0], time, draws[..., -2:-1]
    )
    number = query_words.shape[0] - 1
    chance = 1 + tf.cast(draws[..., -1] * tf.cast(number, tf.float32), tf.int32)
    chance = tf.where(queries > 0, tf.minimum(chance, number), 0)
    return {
        "other_clicked_items": tf.where(clicked > 0, items, 0),
        "other_search_words": tf.gather(query_words, others[..., 0]),
        "random_search_words": tf.gather(query_words, chance),
    }
