"""Groups reviews by user: from rows in the order of the file to histories."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipelines.amazon.reader import TIME_UNITS, ReviewKeys, Reviews
from pipelines.common import times
from pipelines.common.repeats import is_repeated
from pipelines.common.report import BadRow
from pipelines.common.shuffle import parts_of
from pipelines.common.vocabulary import Vocabulary


class Grouped(NamedTuple):
    """The reviews of some users, by user and time; equal times in the file's order.

    Users and items are given by their places in `users` and `items`.
    """

    users: np.ndarray  # (U,) raw ids, sorted.
    items: np.ndarray  # (I,) raw ids of the items that they reviewed, sorted.
    user: np.ndarray  # [n]
    item: np.ndarray  # [n]
    time: np.ndarray  # [n]


class BadReview(NamedTuple):
    """A malformed row that shows only beside others, and its piece."""

    piece: int
    row: BadRow


def split_by_user(reviews: Reviews, num_parts: int) -> list[Reviews]:
    """The reviews of each part's users; a part has all reviews of its users."""
    part = parts_of(reviews.user, num_parts)
    order = np.argsort(part, kind="stable")
    ends = np.cumsum(np.bincount(part, minlength=num_parts))
    return [
        Reviews(
            [reviews.user[row] for row in rows.tolist()],
            [reviews.item[row] for row in rows.tolist()],
            reviews.time[rows],
            reviews.line[rows],
        )
        for rows in np.split(order, ends[:-1])
    ]


def group_reviews(
    chunks: Sequence[Reviews], keys: ReviewKeys, days: tuple[int, int]
) -> tuple[Grouped, list[BadReview]]:
    """Groups one part's reviews, without those far from all others and repeated ones.

    Args:
        chunks: The part's reviews in each piece.
        keys: The layout of the file.
        days: First and last usual day, see `times.usual_days`.
    """
    piece = np.repeat(np.arange(len(chunks)), [len(chunk.time) for chunk in chunks])
    raw_users = [user for chunk in chunks for user in chunk.user]
    raw_items = [item for chunk in chunks for item in chunk.item]
    none = [np.zeros(0, np.int64)]
    time = np.concatenate([chunk.time for chunk in chunks] + none)
    line = np.concatenate([chunk.line for chunk in chunks] + none)
    users, items = Vocabulary.build(raw_users), Vocabulary.build(raw_items)
    user, item = users.encode(raw_users), items.encode(raw_items)
    bad = []

    def reject(is_bad: np.ndarray, reason: str) -> None:
        for row in np.flatnonzero(is_bad).tolist():
            text = f"{raw_users[row]} {raw_items[row]} {time[row]}"
            bad.append(BadReview(int(piece[row]), BadRow(int(line[row]), reason, text)))

    good = times.within_days(time, TIME_UNITS[keys.time], days)
    reject(~good, f"{keys.time} far from all others")
    repeated = np.zeros(len(time), bool)
    repeated[good] = is_repeated(user[good], item[good], time[good])
    reject(repeated, "repeated review")
    kept = np.flatnonzero(good & ~repeated)
    kept = kept[np.lexsort((time[kept], user[kept]))]
    used_users, user = np.unique(user[kept], return_inverse=True)
    used_items, item = np.unique(item[kept], return_inverse=True)
    grouped = Grouped(
        users.decode(used_users), items.decode(used_items), user, item, time[kept]
    )
    return grouped, bad
