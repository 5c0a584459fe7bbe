"""The categories of a dataset's items."""

from typing import NamedTuple

import numpy as np

from sar_tf.data.dataset import SequenceDataset, pad_rows
from tools.figures.clicks import query_item_pairs
from tools.results.collect import StudyError

QUERY = "query"


class Categories(NamedTuple):
    """What tells which items are alike."""

    name: str  # A feature of items, or "query".
    table: np.ndarray  # (num_items + 1, K) each item's categories, padded with 0


def item_categories(dataset: SequenceDataset, name: str | None = None) -> Categories:
    """The categories of all items.

    Args:
        dataset: The dataset.
        name: A feature of items with ids; or "query": an item's categories are the
            queries that it was clicked for, as those of the Amazon data, each of which
            is a category. None takes the first feature with "category" in its name,
            else "query".

    Raises:
        StudyError: Items have no such feature.
        DatasetError: A shard is damaged.
    """
    features = {
        feature: about
        for feature, about in dataset.info.features.get("item", {}).items()
        if about["kind"] != "words"
    }
    if name is None:
        name = next((n for n in features if "category" in n), QUERY)
    if name == QUERY:
        return Categories(name, _queries_of_items(dataset))
    if name not in features:
        raise StudyError(
            f"--category={name}: the items of {dataset.dataset_dir} have no such "
            f"feature; name one of {', '.join([*features, QUERY])}"
        )
    table = dataset.feature_tables(1)["item"][name]
    return Categories(name, table if table.ndim == 2 else table[:, None])


def _queries_of_items(dataset):
    query, item = query_item_pairs(dataset).T
    order = np.argsort(item, kind="stable")
    counts = np.bincount(item, minlength=dataset.info.num_items + 1)
    splits = np.concatenate([[0], np.cumsum(counts)])
    return pad_rows(query[order], splits, max(int(counts.max()), 1))


def share_categories(table: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether items have a category in common: bool `(pairs,)`.

    Args:
        table: As in `Categories`.
        a, b: Items, `(pairs,)`.
    """
    shared = np.zeros(len(a), bool)
    for column in table.T:  # Few columns: no array of pairs x K x K is made.
        own = column[a][:, None]
        shared |= np.any((table[b] == own) & (own > 0), axis=1)
    return shared


def category_shares(table: np.ndarray, items: np.ndarray) -> np.ndarray:
    """The distribution of categories among the items of each row.

    Each item counts once; one of several categories counts for each in equal parts,
    one without a category not at all.

    Args:
        table: As in `Categories`.
        items: `(rows, number)`; 0 is no item.

    Returns:
        `(rows, highest category + 1)`, whose rows have the sum 1, or 0 where no item
        has a category. Column 0 is 0.
    """
    own = table[items]  # (rows, number, K)
    weights = (own > 0) / np.maximum(np.sum(own > 0, axis=-1, keepdims=True), 1)
    width = int(table.max(initial=0)) + 1
    rows = np.arange(len(items))[:, None, None]
    sums = np.bincount(
        (rows * width + own).ravel(), weights.ravel(), minlength=len(items) * width
    ).reshape(len(items), width)
    return sums / np.maximum(sums.sum(axis=1, keepdims=True), 1e-12)
