"""Inputs and tables that are looked up in the clicks of training."""

import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from sar_tf.data.item_queries import (
    ItemQueries,
    index_item_queries,
    queries_before,
)
from sar_tf.data.neighbors import (
    Neighbors,
    drawn_shares,
    even_shares,
    index_neighbors,
    neighbors_before,
)
from sar_tf.data.training_edges import Edges
from sar_tf.inputs import INPUTS

TRAINING_TABLES = (
    "item_queries",
    "user_items",
    "user_queries",
    "item_users",
    "item_user_queries",
)
_ALWAYS = np.iinfo(np.int64).max  # Later than all clicks.


class FromTraining:
    """Looks up what targets may see of the clicks of training.

    Args:
        edges: The clicks, as `read_training_edges`.
        num_users, num_items: Highest ids.
        max_item_queries: Queries of an item.
        max_neighbors: Neighbors that are read of a user.
    """

    def __init__(
        self,
        edges: Edges,
        *,
        num_users: int,
        num_items: int,
        max_item_queries: int,
        max_neighbors: int,
    ) -> None:
        self._edges = edges
        self._num_users, self._num_items = num_users, num_items
        self._max_item_queries = max_item_queries
        self._max_neighbors = max_neighbors

    @functools.cached_property
    def _item_queries(self) -> ItemQueries:
        return _constants(
            index_item_queries(self._edges, self._num_items, self._max_item_queries)
        )

    @functools.cached_property
    def _items_of_users(self) -> Neighbors:
        e = self._edges
        return _constants(index_neighbors(e.user, e.item, e, self._num_users))

    @functools.cached_property
    def _users_of_items(self) -> Neighbors:
        e = self._edges
        return _constants(index_neighbors(e.item, e.user, e, self._num_items))

    def columns(
        self,
        rows: Mapping[str, tf.Tensor],
        needs: Collection[str],
        seed: tf.Tensor | None,
    ) -> dict[str, tf.Tensor]:
        """The inputs of `sar_tf.inputs` that have `of_training`, of a task's rows.

        Args:
            rows: "time" `(B,)`, "user" `(B,)`, "candidates" `(B, C)` and, for what is
                told of histories, "rec_items" `(B, N)`.
            needs: Names of the inputs to make.
            seed: `(2,)` seed of the draws of neighbors; None reads them at even
                distances.
        """
        made: dict[str, tf.Tensor] = {}
        time = rows["time"][:, None]
        for name, items in (
            ("rec_item_queries", "rec_items"),
            ("candidate_queries", "candidates"),
        ):
            if name in needs:
                made[name] = queries_before(self._item_queries, rows[items], time)
        if any(name in needs for name in _NEIGHBORS):
            made |= self._neighbors(rows["user"], rows["candidates"], time, seed)
        return {name: x for name, x in made.items() if name in needs}

    def _neighbors(self, users, candidates, time, seed):
        """Items of the user, a user of each candidate, and items of that user."""

        def read(table, owners, width, stream):
            shares = even_shares(width)
            if seed is not None:
                own_seed = tf.random.experimental.stateless_fold_in(seed, stream)
                shape = tf.concat([tf.shape(owners), [width]], axis=0)
                shares = drawn_shares(shape, own_seed)
            found = neighbors_before(table, owners, time, shares)
            return [tf.ensure_shape(x, [*owners.shape, width]) for x in found]

        items, queries = read(
            self._items_of_users, users[:, None], self._max_neighbors, 0
        )
        others, of_others = read(self._users_of_items, candidates, 1, 1)
        others, of_others = others[..., 0], of_others[..., 0]
        second, of_second = read(self._items_of_users, others, self._max_neighbors, 2)
        found = items[:, 0], queries[:, 0], others, of_others, second, of_second
        return dict(zip(_NEIGHBORS, found, strict=True))

    def table(self, name: str) -> np.ndarray:
        """A table of what a served model reads, of all clicks.

        Args:
            name: One of `TRAINING_TABLES`.

        Returns:
            int32 `(num + 1, width)`; row i is of item or user i.
        """
        number = self._num_users if name.startswith("user") else self._num_items
        owners, times = tf.range(number + 1), tf.constant([_ALWAYS])
        if name == "item_queries":
            return queries_before(self._item_queries, owners, times).numpy()
        if name in ("user_items", "user_queries"):
            side, shares = self._items_of_users, even_shares(self._max_neighbors)
        else:
            side, shares = self._users_of_items, even_shares(1)
        neighbors, queries = neighbors_before(side, owners, times, shares)
        return (queries if name.endswith("queries") else neighbors).numpy()


_NEIGHBORS = (
    "neighbor_items",
    "neighbor_queries",
    "candidate_users",
    "candidate_user_queries",
    "second_items",
    "second_queries",
)


class LazyTables(Mapping[str, np.ndarray]):
    """Tables that are made when they are first read.

    Args:
        makers: {name: function that makes the table}.
    """

    def __init__(self, makers: Mapping[str, Callable[[], np.ndarray]]) -> None:
        self._makers = makers
        self._made: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def needs_training(needs: Collection[str]) -> bool:
    """Whether some of the inputs are looked up in the clicks of training."""
    return any(INPUTS[name].of_training for name in needs)


def _constants(arrays: Any) -> Any:
    """Tensors outside of the functions that use them, which would contain a copy."""
    with tf.init_scope(), tf.device("CPU"):
        return tf.nest.map_structure(tf.constant, arrays)
