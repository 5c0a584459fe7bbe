"""Dense features of all users or items, from the rows of some at a time.

Arrays as long as the owners are many lie in memory or, for more users than one machine
can hold, in files that the system reads and writes by the page.
"""

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from pipelines.common.ragged import RaggedTable
from pipelines.common.vocabulary import Vocabulary

# Dense ids of some owners, and their values by column; can be iterated several times.
Parts = Iterable[tuple[np.ndarray, dict]]
# A new array of zeros of this length and type.
Allocate = Callable[[int, DTypeLike], np.ndarray]


class OnDisk:
    """Makes arrays in files.

    Args:
        work: A folder of this machine, which holds the files.
    """

    def __init__(self, work: Path):
        self._work = work
        self._numbers = itertools.count()

    def __call__(self, size: int, dtype: DTypeLike) -> np.ndarray:
        if not size:
            return np.zeros(0, dtype)
        path = self._work / f"column-{next(self._numbers):04d}.npy"
        return np.lib.format.open_memmap(path, "w+", np.dtype(dtype), (size,))


def encode_categorical(
    parts: Parts, name: str, size: int, none: object, allocate: Allocate = np.zeros
) -> tuple[Vocabulary, np.ndarray]:
    """A feature of one value an owner.

    Args:
        parts: The values.
        name: Of the column.
        size: The highest dense id of an owner.
        none: The value that means none.
        allocate: Makes the array.

    Returns:
        The vocabulary of the values, and `(size + 1,)` dense values, 0 for none.
    """
    found = Vocabulary([])
    for _, values in parts:
        column = np.asarray(values[name])
        found = Vocabulary.build(found.raw_ids(), column[column != none])
    dense = allocate(size + 1, np.int64)
    for owners, values in parts:
        column = np.asarray(values[name])
        dense[owners] = found.encode(column) * (column != none)
    return found, dense


def encode_numeric(
    parts: Parts, name: str, size: int, num_buckets: int, allocate: Allocate = np.zeros
) -> tuple[np.ndarray, np.ndarray]:
    """A feature of one number an owner, NaN for none; quantiles make buckets.

    Args:
        parts, name, size, allocate: As above.
        num_buckets: Number of buckets.

    Returns:
        The inner bounds of the buckets, and `(size + 1,)` number of each owner's
        bucket from 1, 0 for none. A bucket holds its lower bound.
    """
    known = allocate(size, np.float64)
    num_known = 0
    for _, values in parts:
        column = np.asarray(values[name], np.float64)
        column = column[~np.isnan(column)]
        known[num_known : num_known + len(column)] = column
        num_known += len(column)
    bounds = _bounds(known[:num_known], num_buckets)
    dense = allocate(size + 1, np.int64)
    for owners, values in parts:
        column = np.asarray(values[name], np.float64)
        bucket = np.searchsorted(bounds, column, side="right") + 1
        dense[owners] = np.where(np.isnan(column), 0, bucket)
    return bounds, dense


def encode_multi(
    parts: Parts, name: str, size: int, allocate: Allocate = np.zeros
) -> tuple[Vocabulary, RaggedTable]:
    """A feature of several values an owner, each a tuple; arguments as above."""
    found = Vocabulary([])
    row_splits = allocate(size + 2, np.int64)
    for owners, values in parts:
        flat = RaggedTable.from_rows(values[name])
        found = Vocabulary.build(found.raw_ids(), flat.values)
        row_splits[1 + owners] = flat.lengths
    np.cumsum(row_splits, out=row_splits)
    dense = allocate(int(row_splits[-1]), np.int64)
    for owners, values in parts:
        flat = RaggedTable.from_rows(values[name])
        offset = row_splits[owners] - flat.row_splits[:-1]
        place = np.arange(len(flat.values)) + np.repeat(offset, flat.lengths)
        dense[place] = found.encode(flat.values)
    return found, RaggedTable(dense, row_splits)


def _bounds(known: np.ndarray, num_buckets: int) -> np.ndarray:
    """Inner bounds of buckets with about as many values each; reorders `known`."""
    if not len(known):
        return np.zeros(0)
    shares = np.linspace(0, 1, num_buckets + 1)[1:-1]
    # The quantiles of the method "higher", without a copy of the values.
    ranks = np.ceil((len(known) - 1) * shares).astype(np.int64)
    known.partition(np.unique([0, *ranks]))
    bounds = np.unique(known[ranks])
    return bounds[bounds > known[0]]
