"""UniSAR's Figures 5 and 6: the representations of the four transitions."""

from collections.abc import Mapping

import numpy as np
from keras import ops

from tools.figures.histograms import Histogram, make_histogram
from tools.figures.histories import Trained, cosine, encoded_users
from tools.figures.style import STYLES
from tools.results.collect import StudyError

# Scenario -> its transitions from the other scenario and from itself, in the order of
# UniSAR's views.
_OF_SCENARIO = {"rec": ("s2r", "r2r"), "search": ("r2s", "s2s")}
NAMES = ("r2r", "s2r", "s2s", "r2s")
_PAIRS = (("r2r", "s2r"), ("s2s", "r2s"))


def transition_vectors(trained: Trained, number: int) -> dict[str, np.ndarray]:
    """Each user's transitions, averaged over the history (the vectors of Eq. 5).

    Args:
        trained: A model whose `encode_history` returns "views" and "masks" as UniSAR's.
        number: The most users. Only users with behaviors of both scenarios count:
            the others have no transitions between them.

    Returns:
        {"r2r", "s2r", "s2s", "r2s": `(users, D)`}.

    Raises:
        StudyError: The model has no transitions, or no user has both scenarios.
    """
    parts: dict[str, list[np.ndarray]] = {name: [] for name in NAMES}
    missing = number
    for _, encoded in encoded_users(trained):
        if not isinstance(encoded, Mapping) or "views" not in encoded:
            raise StudyError(
                f"{trained.name}: {type(trained.model).__name__} has no transitions; "
                "name runs of UniSAR"
            )
        masks = [ops.convert_to_numpy(x) for x in encoded["masks"].values()]
        chosen = np.all([mask.any(axis=-1) for mask in masks], axis=0)
        chosen = np.flatnonzero(chosen)[:missing]
        for scenario, names in _OF_SCENARIO.items():
            for name, view in zip(names, encoded["views"][scenario], strict=True):
                view = ops.convert_to_numpy(ops.cast(view, "float32"))
                parts[name].append(view[chosen])
        missing -= len(chosen)
        if not missing:
            break
    if missing == number:
        raise StudyError(f"{trained.name}: no user of its dataset has both scenarios")
    return {name: np.concatenate(own) for name, own in parts.items()}


def similarities(name: str, vectors: Mapping[str, np.ndarray]) -> list[Histogram]:
    """The histograms of Figure 5: cosines of the transitions into each scenario.

    Args:
        name: The method.
        vectors: As `transition_vectors` gives them.
    """
    return [
        make_histogram(f"{a} and {b}", name, cosine(vectors[a], vectors[b]), -1, 1)
        for a, b in _PAIRS
    ]


def embed(vectors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Places all vectors in the plane by t-SNE; the same vectors get the same places.

    Args:
        vectors: {transition: `(users, D)`}.

    Returns:
        {transition: `(users, 2)`}.

    Raises:
        StudyError: scikit-learn is missing.
    """
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise StudyError(
            't-SNE needs scikit-learn: pip install -e ".[study]"'
        ) from error
    every = np.concatenate(list(vectors.values()))
    # scikit-learn wants more points than neighbours.
    perplexity = min(30.0, (len(every) - 1) / 3)
    places = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(
        every
    )
    ends = np.cumsum([len(own) for own in vectors.values()])[:-1]
    return dict(zip(vectors, np.split(places, ends), strict=True))


def csv_rows(places: Mapping[str, Mapping[str, np.ndarray]]) -> list[list]:
    """The numbers of Figure 6, the head first.

    Args:
        places: {method: {transition: `(users, 2)`}}.
    """
    rows: list[list] = [["method", "transition", "user", "x", "y"]]
    for method, of_transition in places.items():
        for name, points in of_transition.items():
            rows += [
                [method, name, user, *point]
                for user, point in enumerate(points.tolist(), start=1)
            ]
    return rows


def draw(figure, places: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Draws Figure 6: a panel for each method, a mark for each transition.

    Args:
        figure: matplotlib's figure.
        places: {method: {transition: `(users, 2)`}}.
    """
    panels = figure.subplots(1, len(places), squeeze=False)[0]
    for panel, (method, of_transition) in zip(panels, places.items(), strict=True):
        for style, (name, points) in zip(STYLES, of_transition.items(), strict=False):
            panel.scatter(
                *points.T,
                s=9,
                alpha=0.6,
                linewidths=0,
                color=style["color"],
                marker=style["marker"],
                label=name,
            )
        panel.set_title(method, fontsize=10)
        panel.set_xticks([])
        panel.set_yticks([])
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=len(NAMES),
        frameon=False,
        markerscale=2,
    )
