"""Vocabularies, dense ids and features of the kept users and items."""

import numpy as np

from pipelines.common.dense_ids import DenseIds
from pipelines.common.described import object_column
from pipelines.common.owners import Owners, dense_codes
from pipelines.common.ragged import RaggedTable, word_lists
from pipelines.common.vocabulary import Vocabulary
from pipelines.common.writer import Tables
from pipelines.logs.features import Features, encode_features
from pipelines.logs.logs import TableReader
from pipelines.logs.sources import Source
from sar_tf.paths import AnyPath


def read_owner_features(
    reader: TableReader, source: Source, owners: Owners
) -> Features:
    """Reads the features of the kept items or users.

    Args:
        reader: Reads the table.
        source: The table.
        owners: Those that are kept.
    """
    reading = source.reading
    keys, values = reader.read_features(reading.owner, source)
    dense_ids = owners.dense_ids[np.searchsorted(owners.keys, keys)]
    columns = {name: object_column(column) for name, column in values.items()}
    return encode_features(reading.columns, [(dense_ids, columns)], len(owners.keys))


def make_tables(
    work: AnyPath,
    counts: dict[str, np.ndarray],
    kept_items: np.ndarray,
    users: Owners,
    items: Owners,
    features: dict[str, Features],
    min_word_count: int,
) -> tuple[Tables, DenseIds]:
    """Makes the tables, and the dense ids of the job's own codes.

    A word that fewer searches and captions have is unknown: it is left out.

    Args:
        work: Folder of the job's own files.
        counts: For "query" and "source", the number of kept sessions of each code.
        kept_items: [item codes] whether each item is kept.
        users, items: The users and items that are kept.
        features: Of "user" and "item", where there are tables.
        min_word_count: Fewest searches and captions that have a word.
    """
    queries, query_ids = dense_codes(work, "query", counts["query"])
    sources, source_ids = dense_codes(work, "source", counts["source"])
    raw_queries = word_lists(["", *queries.raw_ids()])
    searches = np.zeros(len(queries) + 1, np.int64)
    np.add.at(searches, query_ids, counts["query"])
    captions = features["item"].captions if "item" in features else None
    raw_captions = word_lists(captions or [])
    words = _frequent_words(raw_queries, searches, raw_captions, min_word_count)
    dense_queries = _without_unknown(raw_queries.encode(words))
    item_features = features["item"].features if "item" in features else {}
    if captions is not None:
        item_features |= {"caption": _without_unknown(raw_captions.encode(words))}
    vocabularies = {
        "user": users.vocabulary,
        "item": items.vocabulary,
        "word": words,
        "search_source": sources,
    }
    for owner, found in features.items():
        # A user and an item can have a feature of the same name.
        for name, vocabulary in found.vocabularies.items():
            taken = name in vocabularies
            vocabularies[f"{owner}_{name}" if taken else name] = vocabulary
    tables = Tables(
        vocabularies=vocabularies,
        queries=dense_queries,
        user_features=features["user"].features if "user" in features else {},
        item_features=item_features,
    )
    place = np.zeros(len(kept_items), np.int64)
    place[kept_items] = items.dense_ids
    return tables, DenseIds(
        users=users.keys,
        user_ids=users.dense_ids,
        items=place,
        queries=query_ids,
        sources=source_ids,
        words=dense_queries.values,
        words_splits=dense_queries.row_splits,
    )


def _frequent_words(
    queries: RaggedTable,
    searches: np.ndarray,
    captions: RaggedTable,
    min_word_count: int,
) -> Vocabulary:
    every = Vocabulary.build(queries.values, captions.values)
    if min_word_count == 1 or not len(every):
        return every
    counts = np.zeros(len(every) + 1, np.int64)
    for texts, number in (
        (queries, searches),
        (captions, np.ones(len(captions.lengths), np.int64)),
    ):
        text = np.repeat(np.arange(len(texts.lengths)), texts.lengths)
        # A text counts once, however often it has a word.
        pairs = np.unique(np.stack([text, every.encode(texts.values)]), axis=1)
        np.add.at(counts, pairs[1], number[pairs[0]])
    return Vocabulary(every.raw_ids()[counts[1:] >= min_word_count])


def _without_unknown(table: RaggedTable) -> RaggedTable:
    is_known = table.values > 0
    row = np.repeat(np.arange(len(table.lengths)), table.lengths)[is_known]
    lengths = np.bincount(row, minlength=len(table.lengths))
    return RaggedTable.from_lengths(table.values[is_known], lengths)
