"""Neighbors of users and items in the graph of training clicks, before any time."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sar_tf.data.training_edges import EdgeIndex, Edges, edges_before, index_edges


class Neighbors(NamedTuple):
    """The graph from one side: the neighbors of users, or of items."""

    edges: EdgeIndex
    neighbor: np.ndarray  # int32 (E + 1,) in the order of the index; the last is 0
    query: np.ndarray  # int32 (E + 1,) of the click; 0 of a recommendation


def index_neighbors(
    owners: np.ndarray, neighbors: np.ndarray, edges: Edges, num_owners: int
) -> Neighbors:
    """Prepares `neighbors_before`.

    Args:
        owners, neighbors: int `(E,)`, the two sides of each edge.
        edges: The edges.
        num_owners: Highest id of an owner.
    """
    index = index_edges(owners, edges, num_owners)
    columns = (np.append(x[index.order], 0) for x in (neighbors, edges.query))
    return Neighbors(index, *(x.astype(np.int32) for x in columns))


def neighbors_before(
    table: Neighbors, owners: tf.Tensor, times: tf.Tensor, shares: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Neighbors by edges that are strictly earlier than some times, with replacement.

    Args:
        table: As `index_neighbors`.
        owners: int32 of any shape; 0 is none.
        times: int64 of a shape that broadcasts to it.
        shares: `(*owners, M)` or `(M,)`, where among the edges to look, from 0, the
            newest, to 1; see `even_shares` and `drawn_shares`.

    Returns:
        The neighbors, and the queries of the edges, int32 `(*owners, M)`; 0 where
        there are none.
    """
    first, number = edges_before(table.edges, owners, times)
    first, number = first[..., None], number[..., None]
    back = tf.cast(shares * tf.cast(number, shares.dtype), tf.int32)
    edge = first + number - 1 - tf.minimum(back, number - 1)
    edge = tf.where(number > 0, edge, tf.size(table.neighbor) - 1)
    return tf.gather(table.neighbor, edge), tf.gather(table.query, edge)


def even_shares(number: int) -> tf.Tensor:
    """`(number,)`: places at even distances, without chance."""
    return tf.constant((np.arange(number) + 0.5) / number, tf.float32)


def drawn_shares(shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Places that are drawn uniformly, ascending on the last axis."""
    return tf.sort(tf.random.stateless_uniform(shape, seed), axis=-1)
