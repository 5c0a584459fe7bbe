"""The vocabularies, dense ids and feature tables of KuaiSAR's kept users and items."""

from pathlib import Path

import numpy as np

from pipelines.common.dense_ids import DenseIds
from pipelines.common.k_core import Kept
from pipelines.common.ragged import RaggedTable, find_sorted, query_words
from pipelines.common.vocabulary import Vocabulary
from pipelines.common.writer import Tables
from pipelines.kuaisar.split import ITEM_FEATURES, USER_FEATURES


def make_tables(
    work: Path,
    grouped: list[Path],
    kept: Kept,
    codes: dict[str, list[str]],
) -> tuple[Tables, DenseIds]:
    """Makes the tables of kept users and items, and the dense ids of the job's codes.

    Args:
        work: Folder of the job's own files.
        grouped: The files of `group_part`.
        kept: The users and items that are kept.
        codes: For "query" and "source", the text of each of the job's codes.
    """
    users, used_queries, used_sources = _used(grouped, kept, codes)
    items = Vocabulary(np.load(work / "catalogue.npy")[kept.items])
    queries = Vocabulary.build(text for text in used_queries if text)
    sources = Vocabulary.build(text for text in used_sources if text)
    raw_query_words = query_words(queries, np.int64)
    raw_captions, raw_item_features = _kept_items(work, items)
    words = Vocabulary.build(raw_query_words.values, raw_captions.values)
    dense_query_words = raw_query_words.encode(words)
    item_values, item_features = _encode_features(raw_item_features)
    user_values, user_features = _encode_features(_kept_users(work, users))
    tables = Tables(
        vocabularies={
            "user": Vocabulary(users),
            "item": items,
            "word": words,
            "search_source": sources,
            **user_values,
            **item_values,
        },
        queries=dense_query_words,
        user_features=user_features,
        item_features={"caption": raw_captions.encode(words), **item_features},
    )
    ids = DenseIds(
        users=users,
        user_ids=np.arange(1, len(users) + 1),
        items=np.where(kept.items, np.cumsum(kept.items), 0),
        queries=queries.encode(codes["query"]),
        sources=sources.encode(codes["source"]),
        words=dense_query_words.values,
        words_splits=dense_query_words.row_splits,
    )
    return tables, ids


def _used(grouped, kept, codes):
    """Raw ids of the kept users, and the texts of their queries and sources."""
    users = []
    used = {name: np.zeros(len(texts), bool) for name, texts in codes.items()}
    for path, is_kept in zip(grouped, kept.users, strict=True):
        with np.load(path) as arrays:
            users.append(arrays["users"][is_kept])
            session = is_kept[arrays["session_user"]]
            for name, marks in used.items():
                marks[arrays[f"session_{name}"][session]] = True
    texts = [
        [text for text, is_used in zip(codes[name], used[name], strict=True) if is_used]
        for name in ("query", "source")
    ]
    return np.sort(np.concatenate(users)), *texts


def _kept_items(work: Path, items: Vocabulary):
    """The captions, in raw words, and the raw categories of item 0, 1, …"""
    parts = []
    for path in sorted(work.glob("items-?????.npz")):
        with np.load(path) as arrays:
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
    features = {
        name: np.concatenate([[0], rows[name][first]]) for name in ITEM_FEATURES
    }
    return captions, features


def _kept_users(work: Path, users: np.ndarray):
    """Raw features of user 0, 1, …; 0 for users without a row in user_features.csv."""
    parts = []
    for path in sorted(work.glob("users-?????.npz")):
        with np.load(path) as arrays:
            parts.append(dict(arrays))
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    known, first = np.unique(rows["id"], return_index=True)
    place, is_known = find_sorted(known, users)
    return {
        name: np.concatenate([[0], np.where(is_known, rows[name][first][place], 0)])
        for name in USER_FEATURES
    }


def _encode_features(raw: dict[str, np.ndarray]):
    """The vocabulary of each feature, and its dense values; 0 stays 0."""
    values = {
        name: Vocabulary.build(column[column != 0]) for name, column in raw.items()
    }
    return values, {name: values[name].encode(column) for name, column in raw.items()}
