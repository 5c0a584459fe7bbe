"""UniSAR's Figure 2: how often the click before is of the same category."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from tools.figures.categories import Categories, share_categories
from tools.figures.clicks import Clicks
from tools.figures.style import HATCHES, STYLES

# In the figure's order: predecessors of recommended, then of searched items.
_NAMES = ("r2r", "s2r", "s2s", "r2s")
ELSEWHERE = "s2s, another search"


@dataclasses.dataclass(frozen=True)
class Transition:
    """Pairs of a click and the click before it.

    Attributes:
        name: From which scenario to which: "r2r", "s2r", "s2s", "r2s"; and the part
            of s2s whose clicks are of two searches.
        pairs: Their number.
        same: Number of those whose items have a category in common.
    """

    name: str
    pairs: int
    same: int

    @property
    def share(self) -> float:
        """The share of the same category; NaN without pairs."""
        return self.same / self.pairs if self.pairs else float("nan")


def predecessors(clicks: Clicks) -> np.ndarray:
    """The index of the click before each click, -1 where there is none: `(clicks,)`.

    It is the user's last click that is strictly earlier in time, as histories have it:
    the order of clicks at one time is not known. The clicks of one search follow each
    other.
    """
    place = np.arange(len(clicks.item))
    is_new = np.ones(len(place), bool)
    is_new[1:] = (np.diff(clicks.user) != 0) | (np.diff(clicks.time) != 0)
    before = np.maximum.accumulate(np.where(is_new, place, 0)) - 1
    before[clicks.user[np.maximum(before, 0)] != clicks.user] = -1
    in_search = np.zeros(len(place), bool)
    in_search[1:] = np.diff(clicks.behavior) == 0
    return np.where(in_search, place - 1, before)


def count_transitions(
    blocks: Iterable[Clicks], categories: Categories
) -> list[Transition]:
    """Counts the pairs of each transition.

    Args:
        blocks: The clicks, in blocks of whole users.
        categories: The items' categories. Pairs with an item that has none are left
            out.
    """
    pairs = dict.fromkeys((*_NAMES, ELSEWHERE), 0)
    same = dict(pairs)
    has_category = np.any(categories.table > 0, axis=1)
    for clicks in blocks:
        before = predecessors(clicks)
        known = has_category[clicks.item] & has_category[clicks.item[before]]
        place = np.flatnonzero((before >= 0) & known)
        before = before[place]
        is_same = share_categories(
            categories.table, clicks.item[place], clicks.item[before]
        )
        origin, goal = clicks.is_rec[before], clicks.is_rec[place]
        found = {
            "r2r": origin & goal,
            "s2r": ~origin & goal,
            "s2s": ~origin & ~goal,
            "r2s": origin & ~goal,
        }
        is_elsewhere = clicks.behavior[before] != clicks.behavior[place]
        found[ELSEWHERE] = found["s2s"] & is_elsewhere
        for name, chosen in found.items():
            pairs[name] += int(np.sum(chosen))
            same[name] += int(np.sum(is_same & chosen))
    return [Transition(name, pairs[name], same[name]) for name in pairs]


def csv_rows(transitions: Sequence[Transition], category: str) -> list[list]:
    """The numbers of the figure, the head first."""
    rows: list[list] = [["category", "transition", "pairs", "same_category", "share"]]
    for one in transitions:
        share = one.share if one.pairs else ""
        rows.append([category, one.name, one.pairs, one.same, share])
    return rows


def draw(figure, transitions: Sequence[Transition], category: str) -> None:
    """Draws a bar for each transition.

    Args:
        figure: matplotlib's figure.
        transitions: As `count_transitions` gives them.
        category: Name of the categories.
    """
    panel = figure.subplots()
    # Where each search has one click, both bars of s2s would be alike.
    found = {one.name: one for one in transitions}
    drawn = list(transitions)
    if found[ELSEWHERE] == dataclasses.replace(found["s2s"], name=ELSEWHERE):
        drawn.remove(found[ELSEWHERE])
    for place, one in enumerate(drawn):
        goal = 0 if one.name.endswith("r") else 1
        share = 100 * one.share if one.pairs else 0.0
        panel.bar(
            place,
            share,
            width=0.65,
            color=STYLES[goal]["color"],
            edgecolor="white",
            hatch=HATCHES[goal],
        )
        text = f"{share:.2f}%\nof {one.pairs:,}" if one.pairs else "no pair"
        panel.annotate(
            text,
            (place, share),
            (0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    names = [one.name.replace(", ", ",\n") for one in drawn]
    panel.set_xticks(range(len(drawn)), names)
    panel.margins(y=0.2)
    panel.set_ylabel("pairs of the same category (%)")
    panel.set_xlabel(f"from the click before to the click (category: {category})")
