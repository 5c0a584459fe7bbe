"""The vocabularies and queries of an Amazon dataset."""

import itertools

from pipelines.amazon.records import Queries
from pipelines.common.ragged import RaggedTable, query_words
from pipelines.common.vocabulary import SavedIds, Vocabulary
from pipelines.common.writer import Tables


def make_tables(
    users: SavedIds, items: SavedIds, item_queries: list[list[str]]
) -> tuple[Tables, Queries]:
    """Makes the tables, and the queries of the items.

    Args:
        users: The users.
        items: The items.
        item_queries: The texts of the queries of item 0 (none), 1, …
    """
    vocabulary = Vocabulary.build(itertools.chain.from_iterable(item_queries))
    raw_words = query_words(vocabulary)
    words = Vocabulary.build(raw_words.values)
    queries = Queries(
        of_items=RaggedTable.from_rows(item_queries).encode(vocabulary),
        words=raw_words.encode(words),
    )
    tables = Tables(
        vocabularies={"user": users, "item": items, "word": words},
        queries=queries.words,
        user_features={},
        item_features={},
    )
    return tables, queries
