"""Numbers in place of raw ids and texts, so that rows have a fixed size.

The key of a text is a hash of 64 bits: all processes know it without a common table.
The texts of the keys lie beside the rows, one file for each piece of a log. Two texts
of one key are found when the texts are looked up.
"""

import pickle
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from pipelines.common.disk import writing
from pipelines.common.job import UserError
from pipelines.common.ragged import find_sorted
from sar_tf.paths import AnyPath

NO_KEY = 0  # Key of the empty text.


def keys_of(texts: Sequence[str]) -> np.ndarray:
    """[texts] int64 key of each text; equal in all processes and on all machines."""
    column = np.array(texts, object)
    if not len(column):
        return np.zeros(0, np.int64)
    keys = pd.util.hash_array(column, categorize=False).view(np.int64)
    keys[keys == NO_KEY] = 1
    keys[column == ""] = NO_KEY
    return keys


def combine_keys(*columns: np.ndarray) -> np.ndarray:
    """[rows] a key of several columns of keys or numbers."""
    combined = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        combined = (combined ^ column.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        combined ^= combined >> np.uint64(29)
    return combined.view(np.int64)


def part_of(keys: np.ndarray, num_parts: int) -> np.ndarray:
    """[keys] the part that a user belongs to."""
    return (keys.view(np.uint64) % np.uint64(num_parts)).astype(np.int64)


def save_texts(
    work: AnyPath, kind: str, piece: int, texts: Sequence[str]
) -> np.ndarray:
    """Saves the distinct texts of one piece, and gives their keys.

    Args:
        work: Folder of the job's own files.
        kind: What they are, such as "item".
        piece: Number of the piece.
        texts: The texts; they may repeat.
    """
    keys, texts = distinct_texts(texts)
    save_distinct(work, kind, piece, keys, texts)
    return keys


def save_distinct(
    work: AnyPath, kind: str, piece: int, keys: np.ndarray, texts: list[str]
) -> None:
    """Saves what `distinct_texts` gives; other arguments as in `save_texts`."""
    path = texts_path(work, kind, piece)
    with writing(path):
        path.write_bytes(pickle.dumps((keys, texts), pickle.HIGHEST_PROTOCOL))


def distinct_texts(texts: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """The sorted distinct keys of texts, and the text of each."""
    texts = np.array(texts, object)
    keys, first = np.unique(keys_of(texts), return_index=True)
    return keys, texts[first].tolist()


def texts_path(work: AnyPath, kind: str, piece: int) -> AnyPath:
    """The file of one piece's keys and texts, a pair that is pickled."""
    return work / f"texts-{kind}-{piece:06d}.pickle"


def merge_texts(
    kind: str, found: Iterable[tuple[np.ndarray, Sequence[str]]]
) -> tuple[np.ndarray, np.ndarray]:
    """The sorted distinct keys of several pieces, and the text of each.

    Args:
        kind: What they are, for errors.
        found: Keys and texts of each piece.

    Raises:
        UserError: Two texts have the same key.
    """
    keys, texts = zip(*found, strict=True)
    keys = np.concatenate(keys)
    texts = np.concatenate([np.array(own, object) for own in texts])
    distinct, first, place = np.unique(keys, return_index=True, return_inverse=True)
    chosen = texts[first]
    _require_same(kind, chosen[place], texts)
    return distinct, chosen


def find_texts(work: AnyPath, kind: str, keys: np.ndarray) -> np.ndarray:
    """[keys] the text of each key.

    Args:
        work, kind: As in `save_texts`.
        keys: Sorted distinct keys.

    Raises:
        UserError: Two texts have the same key, which is as likely as a bad memory chip.
    """
    found = np.full(len(keys), "", object)
    is_found = keys == NO_KEY
    for path in sorted(work.glob(f"texts-{kind}-*.pickle")):
        with path.open("rb") as file:
            # The job itself wrote the file, into its own folder.
            own, texts = pickle.load(file)
        if not len(keys):
            break
        place, is_known = find_sorted(keys, own)
        place, texts = place[is_known], np.array(texts, object)[is_known]
        again = is_found[place]
        _require_same(kind, found[place[again]], texts[again])
        found[place] = texts
        is_found[place] = True
    return found


def _require_same(kind: str, texts: np.ndarray, others: np.ndarray) -> None:
    """Fails if two texts differ, which have the same keys."""
    differs = np.flatnonzero(texts != others)
    if len(differs):
        row = int(differs[0])
        raise UserError(
            f"{kind} {texts[row]!r} and {others[row]!r} have the same key of 64 bits; "
            "rename one of them"
        )
