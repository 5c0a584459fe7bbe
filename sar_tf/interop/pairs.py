"""The (query, clicked item) pairs of histories in NumPy."""

from collections.abc import Mapping

import numpy as np


def slot_pairs(history: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The (query, clicked item) pairs of histories: one for each slot."""
    items = history["clicked_items"]
    words = history["search_words"][:, :, None, :]
    queries = history.get("search_queries", np.zeros(items.shape[:2], "int32"))
    width = words.shape[-1]
    return {
        "pair_items": items.reshape(-1),
        "pair_queries": np.broadcast_to(queries[:, :, None], items.shape).reshape(-1),
        "pair_query_words": np.broadcast_to(words, (*items.shape, width)).reshape(
            -1, width
        ),
        "pair_counts": (items.reshape(-1) > 0).astype("float32"),
    }
