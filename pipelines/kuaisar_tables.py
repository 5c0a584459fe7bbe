"""The vocabularies and feature tables of KuaiSAR's kept users, items and queries."""

from pathlib import Path

import numpy as np

from pipelines.kuaisar_group import Kept
from pipelines.kuaisar_records import DenseIds, take_rows
from pipelines.kuaisar_split import ITEM_FEATURES, USER_FEATURES
from pipelines.vocabulary import Vocabulary
from pipelines.writer import Tables


def make_tables(
    work: Path,
    grouped: list[Path],
    kept: Kept,
    codes: dict[str, list[str]],
) -> tuple[Tables, DenseIds]:
    """Makes the tables of what is kept, and the dense ids of the job's codes.

    Args:
        work: Folder of the job's own files.
        grouped: The files of `group_part`.
        kept: What is kept of them.
        codes: For "query" and "source", the text of each of the job's codes.
    """
    users, used_queries, used_sources = _used(grouped, kept, codes)
    items = Vocabulary(np.load(work / "catalogue.npy")[kept.items])
    queries = Vocabulary.build(text for text in used_queries if text)
    sources = Vocabulary.build(text for text in used_sources if text)
    query_words = _word_lists(["", *queries.decode(np.arange(1, len(queries) + 1))])
    captions, raw_item_features = _kept_items(work, items)
    words = Vocabulary.build(query_words[0], captions[0])
    query_words, captions = (
        (words.encode(values), splits) for values, splits in (query_words, captions)
    )
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
        queries=query_words,
        user_features=user_features,
        item_features={"caption": captions, **item_features},
    )
    ids = DenseIds(
        users=users,
        items=np.where(kept.items, np.cumsum(kept.items), 0),
        queries=queries.encode(codes["query"]),
        sources=sources.encode(codes["source"]),
        words=query_words[0],
        words_splits=query_words[1],
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
    """The captions (raw words and row splits) and raw categories of item 0, 1, …"""
    parts = []
    for path in sorted(work.glob("items-?????.npz")):
        with np.load(path) as arrays:
            is_kept = items.encode(arrays["id"]) > 0
            columns = ("id", "num_words", *ITEM_FEATURES)
            parts.append({name: arrays[name][is_kept] for name in columns})
            of_kept = np.repeat(is_kept, arrays["num_words"])
            parts[-1]["words"] = arrays["words"][of_kept]
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    # An item described twice counts as the table has it first.
    _, first = np.unique(rows["id"], return_index=True)
    starts = np.concatenate([[0], np.cumsum(rows["num_words"])])
    values, lengths = take_rows(rows["words"], starts, first)
    splits = np.concatenate([[0, 0], np.cumsum(lengths)])
    features = {
        name: np.concatenate([[0], rows[name][first]]) for name in ITEM_FEATURES
    }
    return (values, splits), features


def _kept_users(work: Path, users: np.ndarray):
    """Raw features of user 0, 1, …; 0 for users without a row in user_features.csv."""
    parts = []
    for path in sorted(work.glob("users-?????.npz")):
        with np.load(path) as arrays:
            parts.append(dict(arrays))
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    known, first = np.unique(rows["id"], return_index=True)
    place = np.minimum(np.searchsorted(known, users), len(known) - 1)
    is_known = known[place] == users
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


def _word_lists(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Texts of raw word ids: values and row splits."""
    lengths = [len(text.split()) for text in texts]
    splits = np.concatenate([[0], np.cumsum(lengths)])
    return np.array(" ".join(texts).split(), np.int64), splits
