"""The vocabularies, dense ids and feature tables of KuaiSAR's kept users and items."""

from typing import NamedTuple

import numpy as np

from pipelines.common.codes import load_codes
from pipelines.common.dense_ids import DenseIds
from pipelines.common.disk import open_arrays
from pipelines.common.owner_features import Allocate, Parts, encode_categorical
from pipelines.common.owners import Owners, dense_codes
from pipelines.common.ragged import RaggedTable, find_sorted, query_words
from pipelines.common.vocabulary import Vocabulary
from pipelines.common.writer import Tables
from pipelines.kuaisar.parse import ITEM_FEATURES, USER_FEATURES
from sar_tf.paths import AnyPath


class Encoded(NamedTuple):
    """Features of users or items, by name."""

    vocabularies: dict[str, Vocabulary]
    features: dict[str, np.ndarray]


def make_tables(
    work: AnyPath,
    counts: dict[str, np.ndarray],
    kept_items: np.ndarray,
    users: Owners,
    user_features: Encoded,
) -> tuple[Tables, DenseIds]:
    """Makes the tables of kept users and items, and the dense ids of the job's codes.

    Args:
        work: Folder of the job's own files.
        counts: For "query" and "source", the number of kept sessions of each code.
        kept_items: [catalogue] whether each item is kept.
        users: The kept users.
        user_features: Their features.
    """
    items = Vocabulary(load_codes(work, "item")[kept_items])
    queries, query_ids = dense_codes(work, "query", counts["query"])
    sources, source_ids = dense_codes(work, "source", counts["source"])
    raw_query_words = query_words(queries, np.int64)
    raw_captions, raw_item_features = _kept_items(work, items)
    words = Vocabulary.build(raw_query_words.values, raw_captions.values)
    dense_query_words = raw_query_words.encode(words)
    rows = [(np.arange(1, len(items) + 1), raw_item_features)]
    item_features = encode_features(ITEM_FEATURES, rows, len(items))
    tables = Tables(
        vocabularies={
            "user": users.vocabulary,
            "item": items,
            "word": words,
            "search_source": sources,
            **user_features.vocabularies,
            **item_features.vocabularies,
        },
        queries=dense_query_words,
        user_features=user_features.features,
        item_features={
            "caption": raw_captions.encode(words),
            **item_features.features,
        },
    )
    ids = DenseIds(
        users=users.keys,
        user_ids=users.dense_ids,
        items=np.where(kept_items, np.cumsum(kept_items), 0),
        queries=query_ids,
        sources=source_ids,
        words=dense_query_words.values,
        words_splits=dense_query_words.row_splits,
    )
    return tables, ids


def _kept_items(work: AnyPath, items: Vocabulary):
    """The raw words of item 0, 1, …, and the raw categories of item 1, 2, …"""
    parts = []
    for path in sorted(work.glob("items-?????.npz")):
        with open_arrays(path) as arrays:
            is_kept = items.encode(arrays["id"]) > 0
            columns = ("id", "num_words", *ITEM_FEATURES)
            parts.append({name: arrays[name][is_kept] for name in columns})
            of_kept = np.repeat(is_kept, arrays["num_words"])
            parts[-1]["words"] = arrays["words"][of_kept]
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    # If an item is described twice, its first row counts.
    _, first = np.unique(rows["id"], return_index=True)
    captions = RaggedTable.from_lengths(rows["words"], rows["num_words"]).take(first)
    captions = RaggedTable.from_lengths(captions.values, [0, *captions.lengths])
    return captions, {name: rows[name][first] for name in ITEM_FEATURES}


def read_user_features(work: AnyPath, users: np.ndarray) -> Encoded:
    """The features of the kept users, whose sorted ids are given."""
    parts = []
    for path in sorted(work.glob("users-?????.npz")):
        with open_arrays(path) as arrays:
            parts.append(dict(arrays))
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    # If a user is described twice, the first row counts.
    known, first = np.unique(rows["id"], return_index=True)
    place, is_kept = find_sorted(users, known)
    values = {name: rows[name][first][is_kept] for name in USER_FEATURES}
    return encode_features(USER_FEATURES, [(place[is_kept] + 1, values)], len(users))


def encode_features(
    names: tuple[str, ...], parts: Parts, size: int, allocate: Allocate = np.zeros
) -> Encoded:
    """Encodes features, whose value 0 is unknown.

    Args:
        names: Of the columns.
        parts: Dense ids and values of the described owners.
        size: Number of owners.
        allocate: Makes the arrays.
    """
    encoded = Encoded({}, {})
    for name in names:
        encoded.vocabularies[name], encoded.features[name] = encode_categorical(
            parts, name, size, 0, allocate
        )
    return encoded
