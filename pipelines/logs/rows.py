"""Rows of any table: reads values from Arrow arrays and finds malformed rows."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.common import times
from pipelines.common.report import BadRow
from pipelines.logs import clock

MAX_FLOAT = 2.0**53  # Whole numbers below it are exact.


class Rows:
    """Some rows of a piece.

    Each method reads one column and returns one value for each row. If a value is
    malformed, its row is no longer `good` and the value has no meaning.

    Args:
        columns: Arrays of equal length by name, without nulls.
        line: [rows] line of each row, from 0 within the piece.
        texts: From places of rows to their raw texts.
        num_lines, num_rows: Size of what was read, malformed rows included.
        bad: Malformed rows that are not in the columns.

    Attributes:
        good: [rows] false if a malformed value of the row was read.
    """

    def __init__(
        self,
        columns: dict[str, pa.Array],
        line: np.ndarray,
        texts: Callable[[np.ndarray], list[str]],
        num_lines: int,
        num_rows: int,
        bad: Sequence[BadRow] = (),
    ):
        self.line = line
        self.good = np.ones(len(line), bool)
        self.num_lines = num_lines
        self.num_rows = num_rows
        self._columns = columns
        self._texts = texts
        self._bad = list(bad)

    def __len__(self) -> int:
        return len(self.line)

    def array(self, column: str) -> pa.Array:
        """The values of a column as they are."""
        return self._columns[column]

    def texts(self, column: str) -> tuple[np.ndarray, list[str]]:
        """[rows] code of each row's text, and the text of each code; "" if missing."""
        array = self._columns[column]
        if pa.types.is_nested(array.type):
            self.require(np.zeros(len(self), bool), f"bad {column}")
            array = pa.array([""] * len(self), pa.string())
        return _encode(to_text(array))

    def ids(self, column: str, is_required: bool) -> tuple[np.ndarray, list[str]]:
        """[rows] code of each row's id, and the id of each code; "" if missing."""
        codes, texts = self.texts(column)
        ids = [text.strip() for text in texts]
        # Vocabularies hold one raw id a line.
        printable = np.array([text.isprintable() for text in ids], bool)
        self.require(printable[codes], f"bad {column}")
        if is_required:
            is_there = np.array([text != "" for text in ids], bool)
            self.require(is_there[codes], f"no {column}")
        return codes, ids

    def id_lists(
        self, column: str, separator: str
    ) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Lists of ids; empty ids are left out.

        Args:
            column: A column of lists, or of texts with a separator between two ids.
            separator: The separator.

        Returns:
            [n] row of each id, by row; [n] its code; and the id of each code.
        """
        array = self._columns[column]
        if not is_list(array.type):
            array = pc.split_pattern(to_text(array), separator)
        row = np.repeat(np.arange(len(array)), np.asarray(pc.list_value_length(array)))
        codes, texts = _encode(to_text(pc.list_flatten(array).fill_null("")))
        ids = [text.strip() for text in texts]
        is_bad = np.array([not text.isprintable() for text in ids], bool)[codes]
        good = np.ones(len(self), bool)
        good[row[is_bad]] = False
        self.require(good, f"bad {column}")
        is_there = np.array([text != "" for text in ids], bool)[codes]
        return row[is_there], codes[is_there], ids

    def numbers(self, column: str) -> np.ndarray:
        """Numbers, NaN if missing; true is 1 and false 0."""
        codes, texts = self.texts(column)
        words = {"": np.nan, "true": 1.0, "false": 0.0}
        values = np.zeros(len(texts))
        is_number = np.ones(len(texts), bool)
        for code, text in enumerate(texts):
            word = text.strip().lower()
            try:
                values[code] = words[word] if word in words else float(word)
            except ValueError:
                is_number[code] = False
        is_number &= ~np.isinf(values)
        self.require(is_number[codes], f"bad number in {column}")
        return values[codes]

    def times(
        self, column: str, time_format: str, zone: str
    ) -> tuple[np.ndarray, Counter[str]]:
        """Times in ms since 1970, and the units that they look like."""
        array = self._columns[column]
        ms, is_time, units = clock.milliseconds(array, time_format, zone)
        if not is_time.all() and not pa.types.is_nested(array.type):
            missing = np.asarray(pc.equal(to_text(array), ""))
            self.require(~missing, f"no {column}")
        self.require(is_time, f"bad time in {column}")
        self.require(times.plausible(ms, clock.UNIT), f"implausible time in {column}")
        return ms, units

    def raw_texts(self, places: np.ndarray) -> list[str]:
        """The raw texts of some rows, given by their places."""
        return self._texts(places)

    def require(self, condition: np.ndarray, reason: str) -> None:
        """Rejects the good rows for which the condition is false."""
        failed = np.flatnonzero(self.good & ~condition)
        if len(failed):
            lines = self.line[failed].tolist()
            for line, text in zip(lines, self._texts(failed), strict=True):
                self._bad.append(BadRow(line, reason, text))
            self.good &= condition

    def bad_rows(self) -> list[BadRow]:
        """The malformed rows found so far, by line."""
        return sorted(self._bad)


def _encode(array: pa.Array) -> tuple[np.ndarray, list[str]]:
    encoded = pc.dictionary_encode(array)
    return np.asarray(encoded.indices, np.int64), encoded.dictionary.to_pylist()


def to_text(array: pa.Array) -> pa.Array:
    """Any values as texts: whole floats as whole numbers, null as ""."""
    kind = array.type
    if pa.types.is_string(kind):
        return array
    if pa.types.is_floating(kind):
        values = np.asarray(array, np.float64)
        is_whole = (np.floor(values) == values) & (np.abs(values) < MAX_FLOAT)
        whole = pc.cast(
            pa.array(np.where(is_whole, values, 0).astype(np.int64)), "string"
        )
        text = pc.if_else(pa.array(is_whole), whole, pc.cast(array, pa.string()))
        return pc.if_else(pa.array(np.isnan(values)), "", text)
    return pc.cast(array, pa.string()).fill_null("")


def is_list(kind: pa.DataType) -> bool:
    """Whether values of this type are lists."""
    return (
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
    )
