"""Queries made from an item's category hierarchies, for logs without searches."""

import html
from collections.abc import Iterable, Sequence

from sar_tf.data.tokenizer import get_tokenizer

# dataset_info.json names it: a text that is typed as a query is one of the dataset.
TOKENIZER = "words"

# The English stop words of Apache Lucene's EnglishAnalyzer.
_LUCENE_STOP_WORDS = """
a an and are as at be but by for if in into is it no not of on or such that the their
then there these they this to was will with
"""
STOP_WORDS = frozenset(_LUCENE_STOP_WORDS.split())


def category_query(hierarchy: Sequence[str]) -> str | None:
    """The query of one hierarchy: its distinct words, separated by spaces.

    The names of the levels are joined and split into words. Stop words are left out,
    and of a repeated word only the last occurrence stays.

    Args:
        hierarchy: Category names from the top level down.

    Returns:
        None for a hierarchy of one level, or if no word is left.

    Example:
        >>> category_query(["Camera, Photo", "Digital Camera Lenses"])
        'photo digital camera lenses'
    """
    if len(hierarchy) < 2:
        return None
    text = html.unescape(" ".join(hierarchy))
    words = [w for w in get_tokenizer(TOKENIZER).words(text) if w not in STOP_WORDS]
    # A dict keeps the place of the first of equal keys, so the words go in reversed.
    distinct = list(dict.fromkeys(reversed(words)))[::-1]
    return " ".join(distinct) or None


def category_queries(hierarchies: Iterable[Sequence[str]]) -> list[str]:
    """The distinct queries of an item, in the order of its hierarchies."""
    queries = (category_query(hierarchy) for hierarchy in hierarchies)
    return list(dict.fromkeys(query for query in queries if query))
