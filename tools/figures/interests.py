"""SESRec's Figure 3: how far apart similar and dissimilar interests are."""

from collections.abc import Mapping

import numpy as np
from keras import ops

from tools.figures.categories import category_shares
from tools.figures.histograms import Histogram, make_histogram
from tools.figures.histories import Trained, encoded_users
from tools.results.collect import StudyError

KINDS = ("similar", "dissimilar")
DRAWN = ", drawn"


def js_divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The Jensen-Shannon divergence of distributions, with logarithms to base 2.

    `(KL(p, m) + KL(q, m)) / 2` with `m = (p + q) / 2`: 0 where both are equal, 1
    where they have nothing in common.

    Args:
        p, q: `(rows, classes)`; each row has the sum 1.

    Returns:
        `(rows,)`.
    """
    middle = (p + q) / 2
    return (_kl(p, middle) + _kl(q, middle)) / 2


def _kl(p, q):
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
    return np.sum(p * np.log2(ratio), axis=1)


def divergences(
    trained: Trained, table: np.ndarray, number: int
) -> dict[str, np.ndarray]:
    """The divergence of what users were recommended and what they searched.

    Of each user, the categories of the recommended items that the model takes for
    similar are compared with those of the items clicked in the searches that it takes
    for similar; and so the dissimilar ones. Few items diverge more than many, whatever
    the model learned: slots that are drawn, as many of each kind, tell how much.

    Users whose history of a scenario the model does not split (one behavior, or equal
    weights) are left out, as are those of whom a side has no item with a category.

    Args:
        trained: A model whose `encode_history` returns "masks" as SESRec's: all
            slots, the similar and the dissimilar ones.
        table: The items' categories, as in `Categories`.
        number: The most users.

    Returns:
        {"similar", "dissimilar", "similar, drawn", "dissimilar, drawn": `(users,)`}.

    Raises:
        StudyError: The model has no such masks.
    """
    generator = np.random.default_rng(0)
    parts: dict[str, list[np.ndarray]] = {}
    missing = number
    for history, encoded in encoded_users(trained):
        masks = _masks(trained, encoded)
        drawn = {name: _drawn(*own, generator) for name, own in masks.items()}
        is_known = np.ones(len(history["rec_items"]), bool)
        for similar, dissimilar in masks.values():
            is_known &= ~np.any(similar & dissimilar, axis=1)
        found = {}
        for end, own in (("", masks), (DRAWN, drawn)):
            for place, kind in enumerate(KINDS):
                chosen = {name: both[place] for name, both in own.items()}
                shares = _shares(history, chosen, table)
                found[kind + end] = js_divergence(*shares)
                for one in shares:
                    is_known &= one.any(axis=1)
        users = np.flatnonzero(is_known)[:missing]
        for kind, values in found.items():
            parts.setdefault(kind, []).append(values[users])
        missing -= len(users)
        if not missing:
            break
    if missing == number:
        raise StudyError(f"{trained.name}: the model splits no user's interests")
    return {kind: np.concatenate(own) for kind, own in parts.items()}


def _drawn(similar, dissimilar, generator):
    """As many slots of each kind, drawn from both."""
    filled = similar | dissimilar
    order = np.where(filled, generator.random(filled.shape), 2.0).argsort(axis=1)
    is_first = order.argsort(axis=1) < similar.sum(axis=1, keepdims=True)
    return filled & is_first, filled & ~is_first


def _shares(history, chosen, table):
    """The categories of the chosen slots of recommendation and of search."""
    recs = np.where(chosen["rec"], history["rec_items"], 0)
    clicked = np.where(chosen["search"][..., None], history["clicked_items"], 0)
    return [
        category_shares(table, items.reshape(len(items), -1))
        for items in (recs, clicked)
    ]


def _masks(trained, encoded):
    """{scenario: the masks of similar and of dissimilar slots}."""
    masks = encoded.get("masks", {}) if isinstance(encoded, Mapping) else {}
    if "interests" not in encoded or len(masks["rec"]) != 3:
        raise StudyError(
            f"{trained.name}: {type(trained.model).__name__} splits no interests; name "
            "runs of SESRec with ablation=full"
        )
    return {
        scenario: [ops.convert_to_numpy(x) for x in own[1:]]
        for scenario, own in masks.items()
    }


def histograms(name: str, values: Mapping[str, np.ndarray]) -> list[Histogram]:
    """The histograms of the figure: the model's split, and beside it the drawn one.

    Args:
        name: The method, the title of its panel.
        values: As `divergences` gives them.
    """
    titles = {kind: name for kind in KINDS}
    titles |= {kind + DRAWN: f"{name}, slots drawn" for kind in KINDS}
    return [
        make_histogram(
            titles[kind], kind.removesuffix(DRAWN), values[kind], 0, 1, bins=20
        )
        for kind in titles
    ]
