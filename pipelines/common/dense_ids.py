"""Dense ids of a job's own codes."""

from typing import NamedTuple

import numpy as np

from pipelines.common.disk import open_arrays, save_arrays
from pipelines.common.ragged import RaggedTable
from sar_tf.paths import AnyPath


class DenseIds(NamedTuple):
    """Dense ids by the job's own codes, 0 if dropped, and the words of queries."""

    users: np.ndarray  # Codes of the kept users, sorted.
    user_ids: np.ndarray  # Their dense ids.
    items: np.ndarray  # [catalogue]
    queries: np.ndarray  # [query codes]
    sources: np.ndarray  # [source codes]
    words: np.ndarray  # Values of `query_words`.
    words_splits: np.ndarray  # Row splits of `query_words`.

    @property
    def query_words(self) -> RaggedTable:
        """Dense words of query 0 (none), 1, …"""
        return RaggedTable(self.words, self.words_splits)

    def save(self, work: AnyPath) -> None:
        """Saves them for the job's other processes."""
        save_arrays(work / "dense_ids.npz", **self._asdict())

    @classmethod
    def load(cls, work: AnyPath) -> "DenseIds":
        """Loads what `save` saved."""
        with open_arrays(work / "dense_ids.npz") as arrays:
            return cls(**arrays)
