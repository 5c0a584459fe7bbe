"""The kinds of figures: each reads its folders, and writes its files."""

from collections.abc import Sequence
from pathlib import Path

from sar_tf.data.dataset import SequenceDataset
from tools.figures import (
    curves,
    effects,
    histograms,
    interests,
    predecessors,
    query_items,
    transitions,
)
from tools.figures.categories import item_categories
from tools.figures.clicks import read_clicks
from tools.figures.histories import open_models
from tools.figures.style import new_figure, save
from tools.results.collect import StudyError, collect

_USERS, _TSNE_USERS = 5000, 500
_PAIRS = 20000


def draw_learning_curves(arguments: Sequence[str], options) -> list[Path]:
    """Draws columns of history.csv over the epochs.

    Args:
        arguments: As `tools.results.collect.collect`.
        options: The values of the flags.

    Returns:
        The PNG, the SVG and the CSV.

    Raises:
        StudyError: A package or a column is missing, or the folders hold no run.
    """
    columns = options.columns.split(",")
    figure = new_figure(len(columns))
    found = curves.make_curves(collect(arguments, options.split), columns)
    curves.draw(figure, found)
    return save(figure, curves.csv_rows(found), options.output, "learning_curves")


def draw_effects(arguments: Sequence[str], options) -> list[Path]:
    """Draws metrics against a setting: Figures 7 and 8 of UniSAR, Figure 5 of SESRec.

    Arguments, result and errors as `draw_learning_curves`.
    """
    if options.setting is None:
        raise StudyError("--setting is missing: name a setting, as query_item_weight")
    found = effects.make_effects(
        collect(arguments, options.split), options.setting, options.metrics.split(",")
    )
    figure = new_figure(len(found))
    effects.draw(figure, found, options.setting)
    rows = effects.csv_rows(found, options.setting)
    return save(figure, rows, options.output, f"effects_{options.setting}")


def draw_predecessors(arguments: Sequence[str], options) -> list[Path]:
    """Draws Figure 2 of UniSAR, of a dataset's folder.

    Arguments, result and errors as `draw_learning_curves`.

    Raises:
        DatasetError: The folder holds no dataset.
    """
    if len(arguments) != 1:
        raise StudyError("--kind=predecessors: name the folder of one dataset")
    figure = new_figure(1, width=5.0)
    dataset = SequenceDataset.open(arguments[0])
    categories = item_categories(dataset, options.category)
    found = predecessors.count_transitions(read_clicks(dataset), categories)
    predecessors.draw(figure, found, categories.name)
    rows = predecessors.csv_rows(found, categories.name)
    return save(figure, rows, options.output, "predecessors")


def draw_similarities(arguments: Sequence[str], options) -> list[Path]:
    """Draws Figure 5 of UniSAR; arguments, result and errors as the others."""
    figure = new_figure(2)
    found = []
    for trained in open_models(arguments, options.split):
        vectors = transitions.transition_vectors(trained, options.users or _USERS)
        found += transitions.similarities(trained.name, vectors)
    histograms.draw(figure, found, "cosine similarity", "users")
    return save(figure, histograms.csv_rows(found), options.output, "similarities")


def draw_tsne(arguments: Sequence[str], options) -> list[Path]:
    """Draws Figure 6 of UniSAR; arguments, result and errors as the others."""
    number = options.users or _TSNE_USERS
    new_figure(1)  # Fails before the models are opened.
    places = {
        trained.name: transitions.embed(transitions.transition_vectors(trained, number))
        for trained in open_models(arguments, options.split)
    }
    figure = new_figure(len(places), height=4.2)
    transitions.draw(figure, places)
    return save(figure, transitions.csv_rows(places), options.output, "tsne")


def draw_interests(arguments: Sequence[str], options) -> list[Path]:
    """Draws Figure 3 of SESRec; arguments, result and errors as the others."""
    new_figure(1)  # Fails before the models are opened.
    found = []
    for trained in open_models(arguments, options.split):
        categories = item_categories(trained.data.dataset, options.category)
        values = interests.divergences(
            trained, categories.table, options.users or _USERS
        )
        found += interests.histograms(trained.name, values)
    figure = new_figure(len({one.panel for one in found}), width=4.5)
    histograms.draw(figure, found, "Jensen-Shannon divergence", "users")
    return save(figure, histograms.csv_rows(found), options.output, "interests")


def draw_query_items(arguments: Sequence[str], options) -> list[Path]:
    """Draws Figure 4 of SESRec; arguments, result and errors as the others."""
    new_figure(1)  # Fails before the models are opened.
    found = []
    for trained in open_models(arguments, options.split):
        found += query_items.make_boxes(trained, options.pairs or _PAIRS)
    figure = new_figure(1, width=1.0 + 1.3 * len(found))
    query_items.draw(figure, found)
    return save(figure, query_items.csv_rows(found), options.output, "query_items")


DRAW = {
    "learning_curves": draw_learning_curves,
    "effects": draw_effects,
    "predecessors": draw_predecessors,
    "similarities": draw_similarities,
    "tsne": draw_tsne,
    "interests": draw_interests,
    "query_items": draw_query_items,
}
