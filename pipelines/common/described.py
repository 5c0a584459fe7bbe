"""Rows that describe users or items: the first of an owner counts."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pipelines.common.keys import part_of


class Described(NamedTuple):
    """Well-formed rows of a table of users or items.

    Attributes:
        keys: [rows] key of each owner.
        line: [rows] line of each row, from 0, within its piece.
        values: [rows] values by column.
    """

    keys: np.ndarray
    line: np.ndarray
    values: dict[str, np.ndarray]

    def take(self, rows: np.ndarray) -> "Described":
        """The given rows, by places or by a mask."""
        values = {name: column[rows] for name, column in self.values.items()}
        return Described(self.keys[rows], self.line[rows], values)


def is_first(keys: np.ndarray) -> np.ndarray:
    """[rows] whether no earlier row has the same key."""
    first = np.zeros(len(keys), bool)
    first[np.unique(keys, return_index=True)[1]] = True
    return first


def cut_described(
    index: int, rows: Described, num_parts: int
) -> Iterator[tuple[int, tuple[int, Described]]]:
    """The part of each owner, and the rows of a piece that it has."""
    part = part_of(rows.keys, num_parts)
    for number in np.unique(part).tolist():
        yield number, (index, rows.take(part == number))


def first_rows(
    pieces: Iterable[tuple[int, Described]],
) -> tuple[Described, list[tuple[int, int, int]]]:
    """The first row of each owner, and the rows that describe one again.

    Args:
        pieces: The rows of some owners, with the number of their piece.

    Returns:
        The first rows; piece, line and key of each of the others.
    """
    ordered = sorted(pieces, key=lambda piece: piece[0])
    chunks = [rows for _, rows in ordered]
    joined = Described(
        np.concatenate([rows.keys for rows in chunks]),
        np.concatenate([rows.line for rows in chunks]),
        {
            name: np.concatenate([rows.values[name] for rows in chunks])
            for name in chunks[0].values
        },
    )
    piece = np.repeat([index for index, _ in ordered], [len(r.keys) for r in chunks])
    first = is_first(joined.keys)
    others = zip(piece[~first], joined.line[~first], joined.keys[~first], strict=True)
    return joined.take(first), [tuple(map(int, other)) for other in others]


def object_column(values: Sequence) -> np.ndarray:
    """[rows] an array of any values, which may be tuples."""
    column = np.empty(len(values), object)
    column[:] = values
    return column
