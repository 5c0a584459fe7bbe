"""One row of Amazon's reviews or metadata: from a line of text to checked values."""

import ast
import json
import warnings
from typing import Any

MAX_TIME = 2**63  # Times fit into 64 bits.

Hierarchy = tuple[str, ...]  # Category names from the top level down.


class Malformed(Exception):
    """A row is rejected; the text is the reason."""


def parse_row(text: bytes) -> dict[str, Any]:
    """Parses one line, a JSON object or a Python literal of a dict.

    Raises:
        Malformed: The line is neither.
    """
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        row = _python_literal(text)
    if not isinstance(row, dict):
        raise Malformed("not an object")
    return row


def _python_literal(text: bytes) -> Any:
    try:
        with warnings.catch_warnings():
            # Python warns of single backslashes in descriptions.
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            return ast.literal_eval(text.decode("utf-8").strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise Malformed("not an object") from None


def raw_id(row: dict, key: str) -> str:
    """A user's or an item's raw id; raises `Malformed`."""
    value = row.get(key)
    if value is None:
        raise Malformed(f"no {key}")
    # Vocabularies hold one raw id a line.
    if not (isinstance(value, str) and value and value.isprintable()):
        raise Malformed(f"bad {key}")
    return value


def time_of(row: dict, key: str) -> int:
    """A time, which is a whole number; raises `Malformed`."""
    value = row.get(key)
    if value is None:
        raise Malformed(f"no {key}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed(f"bad number in {key}")
    if not abs(value) < MAX_TIME or value != int(value):  # Also true for NaN.
        raise Malformed(f"bad number in {key}")
    if value < 0:
        raise Malformed(f"negative {key}")
    return int(value)


def hierarchies_of(value: Any) -> list[Hierarchy]:
    """Several hierarchies (2014) or one flat list of names (2018, 2023).

    Raises:
        Malformed: The value is neither.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise Malformed("categories are no list")
    if all(isinstance(name, str) for name in value):
        return [tuple(value)] if value else []
    found = []
    for hierarchy in value:
        is_list = isinstance(hierarchy, list)
        if not (is_list and all(isinstance(name, str) for name in hierarchy)):
            raise Malformed("categories are no lists of names")
        found.append(tuple(hierarchy))
    return found


def readable(text: bytes) -> str:
    """The text of a line, for the list of malformed rows."""
    return text.decode("utf-8", "replace").strip()
