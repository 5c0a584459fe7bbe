"""Tables whose rows have different lengths, and look-ups in sorted arrays."""

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from pipelines.common.vocabulary import Vocabulary


class RaggedTable(NamedTuple):
    """Rows of different lengths, laid end to end; row i is the row of dense id i."""

    values: np.ndarray  # [sum of lengths]
    row_splits: np.ndarray  # [rows + 1], row i is values[row_splits[i]:row_splits[i+1]]

    @classmethod
    def from_rows(
        cls, rows: Iterable[Sequence], dtype: DTypeLike = object
    ) -> "RaggedTable":
        """A table of these rows; `dtype` is the type of its values."""
        rows = list(rows)
        values = np.array(list(itertools.chain.from_iterable(rows)), dtype)
        return cls.from_lengths(values, [len(row) for row in rows])

    @classmethod
    def from_lengths(cls, values: np.ndarray, lengths: Sequence[int]) -> "RaggedTable":
        """A table of flat values and the length of each row."""
        row_splits = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=row_splits[1:])
        return cls(values, row_splits)

    @property
    def lengths(self) -> np.ndarray:
        """[rows] length of each row."""
        return np.diff(self.row_splits)

    def take(self, rows: np.ndarray) -> "RaggedTable":
        """A table of the given rows, in their order; a row may occur several times."""
        starts = self.row_splits[rows]
        lengths = self.row_splits[rows + 1] - starts
        taken = RaggedTable.from_lengths(self.values, lengths)
        index = np.arange(lengths.sum()) + np.repeat(
            starts - taken.row_splits[:-1], lengths
        )
        return taken._replace(values=self.values[index])

    def encode(self, vocabulary: Vocabulary) -> "RaggedTable":
        """The same table with dense ids (0 if unknown) in place of raw ids."""
        return self._replace(values=vocabulary.encode(self.values))


def word_lists(texts: Iterable[str], dtype: DTypeLike = object) -> RaggedTable:
    """The words of each text, which are separated by spaces.

    Args:
        texts: One text for each row.
        dtype: Type of the words; `np.int64` if they are numbers.
    """
    return RaggedTable.from_rows((text.split() for text in texts), dtype)


def query_words(queries: Vocabulary, dtype: DTypeLike = object) -> RaggedTable:
    """The raw words of query 0 (none), 1, …

    Args:
        queries: Distinct queries, each the text of its words separated by spaces. A
            query without words is not among them: it is query 0.
        dtype: Type of the words; `np.int64` if they are numbers.
    """
    return word_lists(["", *queries.raw_ids()], dtype)


def find_sorted(ordered: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Looks values up in a sorted array of distinct values, which is not empty.

    Returns:
        [values] place of each value in the array, and [values] whether it is there; the
        place of a missing value has no meaning.
    """
    place = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return place, ordered[place] == values
