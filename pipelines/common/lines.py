"""Cuts text files into pieces of whole lines, and checks the fields of each line."""

import itertools
from collections.abc import Iterator

import numpy as np

from sar_tf.paths import AnyPath

PIECE_BYTES = 8 << 20

_NEWLINE, _QUOTE = 10, 34


def cut_lines(path: AnyPath, has_header: bool) -> Iterator[tuple[int, int]]:
    """First and last byte of pieces of whole lines, without the header."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if has_header:
            file.readline()
        cuts = [file.tell()]
        while cuts[-1] < size:
            file.seek(min(cuts[-1] + PIECE_BYTES, size) - 1)
            file.readline()
            cuts.append(file.tell())
    return itertools.pairwise(cuts)


def count_fields(
    data: np.ndarray, ends: np.ndarray, separator: str = ","
) -> tuple[np.ndarray, np.ndarray]:
    """Checks each line by itself, so that a bad quote cannot join several lines.

    Args:
        data: [bytes] the text.
        ends: [lines] position of each line's end.
        separator: One character between two fields.

    Returns:
        [lines] whether the quotes are bad, and [lines] the number of fields.
    """
    mark = ord(separator)
    marks = np.flatnonzero((data == _NEWLINE) | (data == _QUOTE) | (data == mark))
    kind = data[marks]
    line = np.cumsum(kind == _NEWLINE) - (kind == _NEWLINE)
    is_quote = kind == _QUOTE
    quotes = np.cumsum(is_quote)
    before = np.concatenate(
        [[0], quotes[kind == _NEWLINE][:-1]]
    )  # Quotes before each line.
    inside = (quotes - before[line]) % 2 == 1
    separators = line[(kind == mark) & ~inside]
    num_fields = np.bincount(separators, minlength=len(ends)) + 1

    bad = (quotes[kind == _NEWLINE] - before) % 2 == 1
    # A quote may open only after, and close only before, a separator or a quote.
    opens = marks[is_quote & inside]
    closes = marks[is_quote & ~inside]
    previous = np.where(opens > 0, data[opens - 1], _NEWLINE)
    allowed = [_NEWLINE, _QUOTE, mark]
    bad[line[is_quote & inside][~np.isin(previous, allowed)]] = True
    bad[line[is_quote & ~inside][~np.isin(data[closes + 1], allowed)]] = True
    return bad, num_fields
