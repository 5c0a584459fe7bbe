"""Raw ids to dense ids."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import pandas as pd

from pipelines.common.disk import writing
from sar_tf.paths import AnyPath


class SavedIds(Protocol):
    """What a dataset's writer needs of a vocabulary, however large it is."""

    def __len__(self) -> int: ...

    def save(self, path: AnyPath) -> None:
        """Writes one raw id on each line; the line number, from 1, is the dense id."""


class Vocabulary:
    """Distinct raw ids, sorted; the dense id of the first is 1, and 0 is unknown.

    Sorting makes the dense ids independent of the order in which the rows of a log
    are read, and of the number of processes that read them.

    Args:
        raw_ids: Distinct sorted raw ids, all strings or all integers.
    """

    def __init__(self, raw_ids: Sequence):
        self._index = pd.Index(raw_ids)
        if not (self._index.is_unique and self._index.is_monotonic_increasing):
            raise ValueError("a vocabulary's raw ids must be distinct and sorted")

    @classmethod
    def build(cls, *values: Iterable) -> "Vocabulary":
        """The vocabulary of all values, which may repeat and be in any order.

        Args:
            *values: Raw ids, such as those of each part of a log.
        """
        indexes = [pd.Index(v if hasattr(v, "__len__") else list(v)) for v in values]
        parts = [index.unique() for index in indexes if len(index)]
        if not parts:
            return cls([])
        return cls(parts[0].append(parts[1:]).unique().sort_values())

    def __len__(self) -> int:
        return len(self._index)

    def encode(self, values: Sequence) -> np.ndarray:
        """Dense ids (int64) of raw ids; 0 for unknown ones."""
        return self._index.get_indexer(pd.Index(values)).astype(np.int64) + 1

    def decode(self, dense_ids: Sequence[int]) -> np.ndarray:
        """Raw ids of dense ids, which must be 1 or more."""
        dense_ids = np.asarray(dense_ids, np.int64)
        if dense_ids.size and dense_ids.min() < 1:
            raise ValueError("dense id 0 stands for none, it has no raw id")
        return self.raw_ids()[dense_ids - 1]

    def raw_ids(self) -> np.ndarray:
        """All raw ids in the order of their dense ids 1, 2, …"""
        return self._index.to_numpy()

    def save(self, path: AnyPath) -> None:
        """Writes one raw id on each line; the line number, from 1, is the dense id."""
        lines = [str(raw_id) for raw_id in self._index]
        for line in lines:
            if "\n" in line or "\r" in line:
                raise ValueError(f"raw id {line!r} has a line break")
        text = "".join(f"{line}\n" for line in lines)
        with writing(path):
            path.write_bytes(text.encode())
