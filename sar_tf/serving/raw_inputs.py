"""What a request in raw ids and texts has.

A request has B users. Its arrays are padded with "" (texts and ids) or with any number
(times); `RAW_INPUTS` describes them.
"""

import dataclasses
from collections.abc import Collection

from sar_tf.models.inputs import SESSIONS
from sar_tf.needs import reads_history

POSITIONS = ("rec_positions", "search_positions")


@dataclasses.dataclass(frozen=True)
class RawInput:
    """One array of a request.

    Attributes:
        name: Its key.
        axes: Its axes: B users, N events, K clicked items, C candidates, E excluded
            items.
        dtype: Its type.
        meaning: One sentence.
        of: The inputs of a model that are made from it; empty where every model that
            reads histories needs it.
    """

    name: str
    axes: tuple[str, ...]
    dtype: str
    meaning: str
    of: tuple[str, ...] = ()


_EVENTS = (
    RawInput(
        "history_types",
        ("B", "N"),
        "string",
        'Type of each event: "rec", a clicked recommendation, "search", or "", none.',
    ),
    RawInput(
        "history_times",
        ("B", "N"),
        "int64",
        "Time of each event, in any unit; where requests have a time of their own, in "
        "seconds or milliseconds since 1970. Events of one time are in order.",
    ),
    RawInput(
        "history_items",
        ("B", "N"),
        "string",
        "Item of each clicked recommendation.",
        # Places depend on which recommendations have an item that is known.
        ("rec_items", *POSITIONS, *SESSIONS),
    ),
    RawInput(
        "history_queries",
        ("B", "N"),
        "string",
        "Text of each search's query.",
        ("search_queries", "search_words"),
    ),
    RawInput(
        "history_sources",
        ("B", "N"),
        "string",
        "Where each search was started.",
        ("search_sources",),
    ),
    RawInput(
        "history_clicked_items",
        ("B", "N", "K"),
        "string",
        "Items clicked in each search, each of them once.",
        ("clicked_items",),
    ),
)
_TARGET = (
    RawInput("user", ("B",), "string", "The user.", ("user",)),
    RawInput("query", ("B",), "string", "Text of the query.", ("query", "query_words")),
    RawInput(
        "time",
        ("B",),
        "int64",
        "When the user asks, in the unit of history_times.",
        SESSIONS,
    ),
)
CANDIDATES = RawInput("candidates", ("B", "C"), "string", "Items to score.")
EXCLUDED = RawInput(
    "excluded_items",
    ("B", "E"),
    "string",
    "Items that are not retrieved, such as seen ones.",
)
NUMBER = RawInput("k", (), "int32", "Number of items to retrieve.")
RAW_INPUTS = {
    entry.name: entry for entry in (*_EVENTS, *_TARGET, CANDIDATES, EXCLUDED, NUMBER)
}


def raw_inputs(task: str, needs: Collection[str]) -> list[RawInput]:
    """What a request of a task has, for a model with these needs.

    Args:
        task: "rec" or "search".
        needs: `Model.needs`.
    """
    found = []
    if reads_history(needs):
        found += [
            entry for entry in _EVENTS if not entry.of or set(entry.of) & set(needs)
        ]
    found += [
        entry
        for entry in _TARGET
        if set(entry.of) & set(needs) and (entry.name != "query" or task == "search")
    ]
    return found


def vocabulary_names(needs: Collection[str]) -> set[str]:
    """The vocabularies of `Vocabularies` that requests need."""
    kinds = {
        "user": ("user",),
        "word": ("search_words", "query_words", "search_queries", "query"),
        "query": ("search_queries", "query"),
        "search_source": ("search_sources",),
    }
    found = {name for name, inputs in kinds.items() if set(inputs) & set(needs)}
    return {"item", *found}
