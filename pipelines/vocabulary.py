"""Raw ids to dense ids, and ragged lists of them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd


class Vocabulary:
    """Distinct raw ids, sorted; the dense id of the first is 1, and 0 is unknown.

    Sorting makes the dense ids independent of the order in which the rows of a log
    are read, and of how many processes read them.

    Args:
        raw_ids: Distinct sorted raw ids, all strings or all integers.
    """

    def __init__(self, raw_ids: Sequence):
        self._index = pd.Index(raw_ids)
        if not (self._index.is_unique and self._index.is_monotonic_increasing):
            raise ValueError("a vocabulary's raw ids must be distinct and sorted")

    @classmethod
    def build(cls, *values: Iterable) -> "Vocabulary":
        """The vocabulary of all values, repeated ones included, in any order.

        Several arguments (such as what each part of a log holds) are united.
        """
        indexes = [pd.Index(v if hasattr(v, "__len__") else list(v)) for v in values]
        parts = [index.unique() for index in indexes if len(index)]
        if not parts:
            return cls([])
        return cls(parts[0].append(parts[1:]).unique().sort_values())

    def __len__(self) -> int:
        return len(self._index)

    def encode(self, values: Sequence) -> np.ndarray:
        """Dense ids (int64) of raw ids; 0 for those that are not known."""
        return self._index.get_indexer(pd.Index(values)).astype(np.int64) + 1

    def decode(self, dense_ids: Sequence[int]) -> np.ndarray:
        """Raw ids of dense ids, which must be 1 or more."""
        dense_ids = np.asarray(dense_ids, np.int64)
        if dense_ids.size and dense_ids.min() < 1:
            raise ValueError("dense id 0 stands for none, it has no raw id")
        return self._index.to_numpy()[dense_ids - 1]

    def save(self, path: Path) -> None:
        """Writes one raw id a line: the line's number is the dense id."""
        lines = [str(raw_id) for raw_id in self._index]
        for line in lines:
            if "\n" in line or "\r" in line:
                raise ValueError(f"raw id {line!r} has a line break")
        text = "".join(f"{line}\n" for line in lines)
        Path(path).write_text(text, encoding="utf-8", newline="\n")

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Reads what `save` wrote; raw ids come back as strings, in their order."""
        vocabulary = cls.__new__(cls)
        text = Path(path).read_text(encoding="utf-8")
        # Sorted integers are not sorted as strings, so the order is not checked.
        vocabulary._index = pd.Index(text.split("\n")[:-1], dtype=str)
        return vocabulary


def encode_word_lists(
    texts: Sequence[str], words: Vocabulary
) -> tuple[np.ndarray, np.ndarray]:
    """Turns texts of space-separated words into ragged dense word ids.

    Returns:
        values [sum of lengths] and row_splits [len(texts) + 1], int64.
    """
    rows = [text.split() for text in texts]
    row_splits = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=row_splits[1:])
    return words.encode([word for row in rows for word in row]), row_splits


def encode_queries(
    queries: Vocabulary, words: Vocabulary
) -> tuple[np.ndarray, np.ndarray]:
    """The words of query 0 (none), 1, …, in the form that `queries.npz` holds.

    Args:
        queries: Distinct queries, each the text of its words separated by spaces.
            A query of no words has no place in it: it is query 0.
        words: The vocabulary of the words.

    Returns:
        values [sum of lengths] and row_splits [num_queries + 2], int64.
    """
    texts = queries.decode(np.arange(1, len(queries) + 1))
    return encode_word_lists(["", *texts], words)
