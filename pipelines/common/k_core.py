"""Drops users and items with few interactions, repeatedly."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipelines.common.behaviors import Grouped
from pipelines.common.disk import open_arrays
from pipelines.common.summary import Step
from sar_tf.paths import AnyPath


@dataclasses.dataclass
class Kept:
    """The users and items that are left after the filters."""

    users: list[np.ndarray]  # (U,) bool for each part.
    items: np.ndarray  # [catalogue] bool.

    @property
    def num_users(self) -> int:
        """Number of users that are left."""
        return sum(int(is_kept.sum()) for is_kept in self.users)

    def step(self, rule: str, num_behaviors: np.ndarray) -> Step:
        """What is left after the filters, of this name.

        Args:
            rule: The filters' name.
            num_behaviors: Number of behaviors of each type that are left.
        """
        return Step(
            rule, self.num_users, int(self.items.sum()), int(num_behaviors.sum())
        )


def filter_interactions(
    paths: Sequence[AnyPath], num_items: int, min_interactions: int, need_both: bool
) -> Kept:
    """Drops users and items with few interactions, until all others have enough.

    An interaction is a clicked recommendation or an item clicked in a search session.
    A session stays if all of its clicked items are dropped. Items without an
    interaction are always dropped.

    Args:
        paths: The files of `save_behaviors`.
        num_items: Size of the catalogue.
        min_interactions: Fewest interactions of a user, and of an item.
        need_both: Whether a user must also keep a clicked recommendation and a search
            session.
    """
    kept = Kept([], np.ones(num_items, bool))
    for path in paths:
        with open_arrays(path) as arrays:
            kept.users.append(np.ones(len(arrays["users"]), bool))
    while True:
        item_counts = np.zeros(num_items, np.int64)
        for path, is_kept in zip(paths, kept.users, strict=True):
            user, item, _ = list_interactions(path)
            item_counts += np.bincount(item[is_kept[user]], minlength=num_items)
        items = kept.items & (item_counts >= max(min_interactions, 1))
        users = [
            is_kept & active_users(path, items, min_interactions, need_both)
            for path, is_kept in zip(paths, kept.users, strict=True)
        ]
        changed = (items != kept.items).any() or any(
            (new != old).any() for new, old in zip(users, kept.users, strict=True)
        )
        kept = Kept(users, items)
        if not changed:
            return kept


class Totals(NamedTuple):
    """Users, items and behaviors of all parts after each rule of `save_behaviors`."""

    users: list[int]
    items: list[int]
    events: list[int]

    @classmethod
    def of(cls, grouped: Sequence[Grouped], num_items: int) -> "Totals":
        """The sums over the results of `save_behaviors`."""
        items = []
        for index in range(len(grouped[0].num_users)):
            clicked = np.zeros(num_items, bool)
            for part in grouped:
                with open_arrays(part.path) as arrays:
                    clicked[arrays[f"items_{index}"]] = True
            items.append(int(clicked.sum()))
        return cls(
            np.sum([part.num_users for part in grouped], axis=0).tolist(),
            items,
            np.sum([part.num_events for part in grouped], axis=0).tolist(),
        )


def list_steps(
    totals: Totals, num_items: int, rules: Sequence[str], last: Step
) -> list[Step]:
    """What the logs hold, and what is left after each rule.

    Args:
        totals: After each rule.
        num_items: Size of the catalogue.
        rules: A name for what was read, then one for each rule that was saved.
        last: What is left after `filter_interactions`.
    """
    steps = [Step(rules[0], totals.users[0], num_items, totals.events[0])]
    names = ("items never clicked", *rules[1:])
    steps += [Step(*row) for row in zip(names, *totals, strict=True)]
    return [*steps, last]


def active_users(
    path: AnyPath, items: np.ndarray, min_interactions: int, need_both: bool
) -> np.ndarray:
    """[users] whether each user of a part has enough interactions with these items.

    Args:
        path: The file of `save_behaviors`.
        items: [catalogue] whether each item is kept.
        min_interactions, need_both: As above.
    """
    user, item, is_rec = list_interactions(path)
    user, is_rec = user[items[item]], is_rec[items[item]]
    with open_arrays(path) as arrays:
        num_users = len(arrays["users"])
        searches = np.bincount(arrays["session_user"], minlength=num_users)
    interactions = np.bincount(user, minlength=num_users)
    recs = np.bincount(user[is_rec], minlength=num_users)
    if need_both:
        is_active = (recs > 0) & (searches > 0)
    else:
        is_active = (interactions > 0) | (searches > 0)
    return is_active & (interactions >= min_interactions)


def list_interactions(path: AnyPath) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """User, item and "is a recommendation" of each interaction of a part."""
    with open_arrays(path) as arrays:
        searcher = arrays["session_user"][arrays["click_session"]]
        user = np.concatenate([arrays["rec_user"], searcher])
        item = np.concatenate([arrays["rec_item"], arrays["click_item"]])
        return user, item, np.arange(len(user)) < len(arrays["rec_user"])
