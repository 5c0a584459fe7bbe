"""Reads Amazon reviews and metadata, in the layouts of 2014, 2018 and 2023."""

import ast
import codecs
import gzip
import itertools
import json
import re
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipelines.common import times
from pipelines.common.job import UserError
from pipelines.common.progress import progress
from pipelines.common.rejects import Rejects
from pipelines.common.repeats import is_repeated

GZIP_MAGIC = b"\x1f\x8b"
HEAD = 1000  # Number of first rows that show the layout of a file.
MAX_TIME = 2**63  # Times fit into 64 bits.

# The start of a row of the 2014 metadata: gives the item without parsing the row.
_LEADING_ITEM = re.compile(rb"""\{['"]asin['"]: ?['"]([^'"\\]+)['"][,}]""")


class ReviewKeys(NamedTuple):
    """Keys of a review, in one layout."""

    user: str
    item: str
    time: str


class MetadataKeys(NamedTuple):
    """Keys of an item's metadata, in one layout."""

    item: str
    categories: str


REVIEW_LAYOUTS = (
    ReviewKeys("reviewerID", "asin", "unixReviewTime"),  # 2014 and 2018
    ReviewKeys("user_id", "parent_asin", "timestamp"),  # 2023
)
TIME_UNITS = {"unixReviewTime": "seconds", "timestamp": "milliseconds"}
METADATA_LAYOUTS = (
    MetadataKeys("asin", "categories"),  # 2014
    MetadataKeys("asin", "category"),  # 2018
    MetadataKeys("parent_asin", "categories"),  # 2023
)

Hierarchy = tuple[str, ...]  # Category names from the top level down.


class _Malformed(Exception):
    """A row is rejected; the text is the reason."""


def read_reviews(path: Path, rejects: Rejects, max_bad_fraction: float) -> pd.DataFrame:
    """Reads the user, item and time of each review.

    Args:
        path: File with one review on each line.
        rejects: Collects the malformed rows.
        max_bad_fraction: Largest share of malformed rows.

    Returns:
        Columns user and item (categories of raw ids) and time (int64, in the unit of
        the file), in the order of the file, without malformed and repeated rows.

    Raises:
        UserError: The file is damaged or has no known layout, or too many of its rows
            are malformed.
    """
    rows, keys = _open(path, REVIEW_LAYOUTS, "reviews")
    users: dict[str, int] = {}
    items: dict[str, int] = {}
    columns = [], [], [], []
    num_rows = 0
    for line, text in rows:
        num_rows += 1
        try:
            row = parse_row(text)
            user, item = _raw_id(row, keys.user), _raw_id(row, keys.item)
            time = _time(row, keys.time)
        except _Malformed as reason:
            rejects.add(path.name, line, str(reason), _readable(text))
            continue
        columns[0].append(users.setdefault(user, len(users)))
        columns[1].append(items.setdefault(item, len(items)))
        columns[2].append(time)
        columns[3].append(line)
    user, item, time, line = (np.array(column, np.int64) for column in columns)
    times.require_unit(
        times.count_units(time), TIME_UNITS[keys.time], path.name, keys.time
    )
    reviews = pd.DataFrame(
        {
            "user": pd.Categorical.from_codes(user, list(users)),
            "item": pd.Categorical.from_codes(item, list(items)),
            "time": time,
        },
        index=line,
    )
    reviews = _usual(reviews, keys, path.name, rejects)
    codes = (reviews[name].cat.codes.to_numpy() for name in ("user", "item"))
    repeated = is_repeated(*codes, reviews["time"].to_numpy())
    reviews = _reject(reviews, repeated, "repeated review", path.name, rejects)
    rejects.check(path.name, num_rows, max_bad_fraction)
    for name in ("user", "item"):
        reviews[name] = reviews[name].cat.remove_unused_categories()
    return reviews.reset_index(drop=True)


def read_hierarchies(
    path: Path, items: set[str], rejects: Rejects, max_bad_fraction: float
) -> dict[str, list[Hierarchy]]:
    """Reads the category hierarchies of the given items.

    Rows of other items are skipped, and if possible not even parsed. An item
    with several equal descriptions, as in the 2018 release, is not malformed.

    Args:
        path: File with one item on each line.
        items: Raw ids of the items to read.
        rejects: Collects the malformed rows.
        max_bad_fraction: Largest share of malformed rows.

    Returns:
        The hierarchies of each item that the file has, in the order of the file.

    Raises:
        UserError: The file is damaged or has no known layout, or too many of its rows
            are malformed.
    """
    rows, keys = _open(path, METADATA_LAYOUTS, "metadata")
    hierarchies: dict[str, list[Hierarchy]] = {}
    num_rows = 0
    for line, text in rows:
        leading = _LEADING_ITEM.match(text)
        if leading and leading[1].decode("utf-8", "replace") not in items:
            continue
        num_rows += 1
        try:
            row = parse_row(text)
            item = _raw_id(row, keys.item)
            found = _hierarchies(row.get(keys.categories))
            if hierarchies.get(item, found) != found:
                raise _Malformed("item described twice, differently")
        except _Malformed as reason:
            rejects.add(path.name, line, str(reason), _readable(text))
            continue
        if item in items:
            hierarchies[item] = found
    rejects.check(path.name, num_rows, max_bad_fraction)
    return hierarchies


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yields the lines that are not blank with their numbers from 1; shows progress."""
    size = path.stat().st_size
    with open(path, "rb") as raw, progress(path.name, size, "B") as bar:
        is_compressed = raw.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC)
        lines = gzip.GzipFile(fileobj=raw) if is_compressed else raw
        number = 0
        try:
            for number, line in enumerate(lines, start=1):
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                if line.strip():
                    yield number, line
                if number % 5000 == 0:
                    bar.set_postfix_str(f"{number:,} rows", refresh=False)
                    bar.update(raw.tell() - bar.n)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UserError(
                f"{path} is cut short or damaged after line {number} ({error}); "
                "download it again"
            ) from error
        bar.set_postfix_str(f"{number:,} rows", refresh=False)
        bar.update(size - bar.n)


def parse_row(text: bytes) -> dict[str, Any]:
    """Parses one line, a JSON object or a Python literal of a dict.

    Raises:
        _Malformed: The line is neither.
    """
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        row = _python_literal(text)
    if not isinstance(row, dict):
        raise _Malformed("not an object")
    return row


def _python_literal(text: bytes) -> Any:
    try:
        with warnings.catch_warnings():
            # Python warns of single backslashes in descriptions.
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            return ast.literal_eval(text.decode("utf-8").strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise _Malformed("not an object") from None


def _open(path: Path, layouts: tuple, kind: str):
    """Finds the layout of a file and returns its lines and the layout's keys.

    The layout is the first one whose keys are all in one of the first rows.
    """
    lines = read_lines(path)
    head = list(itertools.islice(lines, HEAD))
    seen: set[str] = set()
    for _, text in head:
        try:
            row = parse_row(text)
        except _Malformed:
            continue
        for keys in layouts:
            if row.keys() >= set(keys):
                return itertools.chain(head, lines), keys
        seen |= row.keys()
    if not seen:
        raise UserError(
            f"{path} is no {kind} file: none of its first lines is a JSON object"
        )
    closest = max(layouts, key=lambda keys: len(seen & set(keys)))
    missing = ", ".join(repr(key) for key in closest if key not in seen)
    raise UserError(
        f"{path}: its rows have no key {missing}; a {kind} file needs "
        + " or ".join(", ".join(keys) for keys in layouts)
    )


def _raw_id(row: dict, key: str) -> str:
    value = row.get(key)
    if value is None:
        raise _Malformed(f"no {key}")
    # Vocabularies hold one raw id a line.
    if not (isinstance(value, str) and value and value.isprintable()):
        raise _Malformed(f"bad {key}")
    return value


def _time(row: dict, key: str) -> int:
    value = row.get(key)
    if value is None:
        raise _Malformed(f"no {key}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Malformed(f"bad number in {key}")
    if not abs(value) < MAX_TIME or value != int(value):  # Also true for NaN.
        raise _Malformed(f"bad number in {key}")
    if value < 0:
        raise _Malformed(f"negative {key}")
    return int(value)


def _usual(
    reviews: pd.DataFrame, keys: ReviewKeys, source: str, rejects: Rejects
) -> pd.DataFrame:
    """The reviews with plausible times; rejects the others."""
    bad = ~times.plausible(reviews["time"].to_numpy(), TIME_UNITS[keys.time])
    reviews = _reject(reviews, bad, f"implausible {keys.time}", source, rejects)
    if not len(reviews):
        return reviews
    time = reviews["time"].to_numpy()
    days = times.usual_days(times.count_days(time, TIME_UNITS[keys.time]))
    far = ~times.within_days(time, TIME_UNITS[keys.time], days)
    return _reject(reviews, far, f"{keys.time} far from all others", source, rejects)


def _reject(
    reviews: pd.DataFrame, bad: np.ndarray, reason: str, source: str, rejects: Rejects
) -> pd.DataFrame:
    """The reviews that are not bad; their index is the line in the file."""
    texts = reviews[bad].astype(str).agg(" ".join, axis=1) if bad.any() else ()
    rejects.add_rows(source, reviews.index[bad], reason, texts)
    return reviews[~bad]


def _hierarchies(value: Any) -> list[Hierarchy]:
    """Several hierarchies (2014) or one flat list of names (2018, 2023)."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise _Malformed("categories are no list")
    if all(isinstance(name, str) for name in value):
        return [tuple(value)] if value else []
    found = []
    for hierarchy in value:
        is_list = isinstance(hierarchy, list)
        if not (is_list and all(isinstance(name, str) for name in hierarchy)):
            raise _Malformed("categories are no lists of names")
        found.append(tuple(hierarchy))
    return found


def _readable(text: bytes) -> str:
    return text.decode("utf-8", "replace").strip()
