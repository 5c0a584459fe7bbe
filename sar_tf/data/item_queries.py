"""The queries that most often led to an item, before any time."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sar_tf.data.training_edges import EdgeIndex, Edges, edges_before, index_edges


class ItemQueries(NamedTuple):
    """For each click of a search: its item's best queries up to this click."""

    edges: EdgeIndex  # of items
    best: np.ndarray  # int32 (clicks + 1, width); the last row is empty


def index_item_queries(edges: Edges, num_items: int, width: int) -> ItemQueries:
    """Prepares `queries_before`.

    Args:
        edges: As `read_training_edges`.
        num_items: Highest item id.
        width: Number of queries of an item.
    """
    edges = edges.of_searches()
    index = index_edges(edges.item, edges, num_items)
    best = _best_queries(edges.query[index.order], index.splits, width)
    return ItemQueries(index, np.pad(best, ((0, 1), (0, 0))))


def _best_queries(queries: np.ndarray, splits: np.ndarray, width: int) -> np.ndarray:
    """`(E, width)`: the queries that were most frequent up to each edge of an item.

    The k-th edges of all items are counted together, one k after another. The query of
    an edge stands before other queries that are as frequent, as it is newer. A query
    that falls out of the best comes back when it is counted again.
    """
    counts = _running_counts(queries, splits)
    degree = np.diff(splits)
    items = np.argsort(-degree, kind="stable")
    ends = np.searchsorted(-degree[items], -np.arange(degree.max(initial=0)))
    best = np.zeros((len(queries), width), np.int32)
    top = np.zeros((len(items), width + 1), np.int32)
    number = np.zeros(top.shape, np.int32)
    for k, end in enumerate(ends):
        edge = splits[items[:end]] + k
        own = np.where(top[:end, :-1] == queries[edge, None], -1, number[:end, :-1])
        own = np.concatenate([counts[edge, None], own], axis=1)
        known = np.concatenate([queries[edge, None], top[:end, :-1]], axis=1)
        order = np.argsort(-own, axis=1, kind="stable")
        top[:end] = np.take_along_axis(known, order, axis=1)
        number[:end] = np.take_along_axis(own, order, axis=1)
        best[edge] = np.where(number[:end, :-1] > 0, top[:end, :-1], 0)
    return best


def _running_counts(queries: np.ndarray, splits: np.ndarray) -> np.ndarray:
    """How often each edge's item had its query up to this edge."""
    item = np.repeat(np.arange(len(splits) - 1), np.diff(splits))
    order = np.lexsort((queries, item))
    pairs = np.stack([item, queries])[:, order]
    is_first = np.any(np.diff(pairs, axis=1, prepend=-1), axis=0)
    place = np.arange(len(order))
    start = np.maximum.accumulate(np.where(is_first, place, 0))
    counts = np.zeros(len(order), np.int32)
    counts[order] = place - start + 1
    return counts


def queries_before(table: ItemQueries, items: tf.Tensor, times: tf.Tensor) -> tf.Tensor:
    """The queries that most often led to items strictly earlier than some times.

    Of queries that led to an item as often, the newest comes first.

    Args:
        table: As `index_item_queries`.
        items: int32 of any shape; 0 is none.
        times: int64 of a shape that broadcasts to it.

    Returns:
        int32 `(*items, width)`, 0 where there are no more.
    """
    first, number = edges_before(table.edges, items, times)
    row = tf.where(number > 0, first + number - 1, tf.shape(table.best)[0] - 1)
    return tf.gather(table.best, row)
