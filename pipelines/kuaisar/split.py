"""Saves the rows of a piece of a file on disk, those of the logs in parts by user."""

from pathlib import Path

import numpy as np

from pipelines.common.codes import CODES
from pipelines.common.disk import save_array, save_arrays
from pipelines.common.keys import part_of, save_distinct
from pipelines.common.report import Report
from pipelines.common.shuffle import save_chunks
from pipelines.kuaisar.parse import parse_items, parse_rec, parse_search, parse_users
from pipelines.kuaisar.reader import Piece
from pipelines.kuaisar.repeats import count_sessions


def split_users(piece: Piece, index: int, work: Path) -> Report:
    """Saves the rows of a piece of user_features.csv, the piece of this number."""
    users, report = parse_users(piece)
    path = work / f"users-{index:05d}.npz"
    save_arrays(path, id=users.keys, line=users.line, **users.values)
    return report


def split_items(piece: Piece, index: int, work: Path) -> Report:
    """Saves the rows of a piece of item_features.csv."""
    items, report = parse_items(piece)
    save_arrays(work / f"items-{index:05d}.npz", **items)
    return report


def split_rec(
    piece: Piece,
    index: int,
    work: Path,
    num_parts: int,
    days: tuple[int, int] | None = None,
) -> Report:
    """Saves the clicked rows of a piece of rec_inter.csv in parts by user."""
    rec, report = parse_rec(piece, work, days)
    save_chunks(work / f"rec-{index:05d}.chunks", by_part(rec, "user", num_parts))
    return report


def split_search(
    piece: Piece,
    index: int,
    work: Path,
    num_parts: int,
    days: tuple[int, int] | None = None,
) -> Report:
    """Saves the rows of a piece of src_inter.csv in parts by user, and their texts.

    It also saves the pairs of session ids and users, in parts by session.
    """
    search, report = parse_search(piece, work, days)
    rows, sessions = search.rows, count_sessions(search.rows)
    for name, own, key in (("search", rows, "user"), ("sessions", sessions, "session")):
        path = work / f"{name}-{index:05d}.chunks"
        save_chunks(path, by_part(own, key, num_parts))
    for kind in CODES:
        save_distinct(work, kind, index, *search.texts[kind])
        save_array(work / f"{kind}-keys-{index:05d}.npy", search.texts[kind][0])
    return report


def by_part(rows: np.ndarray, column: str, num_parts: int) -> list[np.ndarray]:
    """The rows of each part, in their order.

    Args:
        rows: The rows.
        column: The one that tells the part: "user" or "session".
        num_parts: Number of parts.
    """
    part = part_of(rows[column].copy(), num_parts)
    ends = np.cumsum(np.bincount(part, minlength=num_parts))
    return np.split(rows[np.argsort(part, kind="stable")], ends[:-1])
