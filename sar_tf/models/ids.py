"""Ids that a model does not know are read as 0, padding or unknown."""

from typing import Any

from keras import ops

from sar_tf.spec import DataSpec

_KINDS = {
    "num_items": (
        "rec_items",
        "clicked_items",
        "candidates",
        "sampled_items",
        "pair_items",
        "sequence_items",
        "sequence_negatives",
        "similar_items",
        "other_clicked_items",
        "neighbor_items",
        "second_items",
    ),
    "num_queries": (
        "search_queries",
        "query",
        "target_query",
        "sampled_queries",
        "pair_queries",
        "rec_item_queries",
        "candidate_queries",
        "neighbor_queries",
        "candidate_user_queries",
        "second_queries",
    ),
    "num_words": (
        "search_words",
        "query_words",
        "sampled_query_words",
        "pair_query_words",
        "item_words",
        "other_search_words",
        "random_search_words",
        "sampled_words",
    ),
    "num_search_sources": ("search_sources",),
    "num_users": ("user", "target_user", "candidate_users"),
    "positions": ("rec_positions", "search_positions"),
}
# Name of each input of ids -> what tells its highest id.
KIND_OF_ID = {name: kind for kind, names in _KINDS.items() for name in names}


def known_ids(spec: DataSpec, name: str, ids: Any) -> Any:
    """The ids of an input, with 0 for those that have no row in the model's tables.

    The look-up of a missing row would be an error on a CPU and zeros on a GPU, and -1
    would be the last row.

    Args:
        spec: Sizes of the dataset.
        name: The input, one of `sar_tf.inputs.INPUTS`. Arrays of no ids are unchanged.
        ids: Its array.
    """
    kind = KIND_OF_ID.get(name)
    if kind is None:
        return ids
    if kind == "positions":
        highest = spec.max_rec_history + spec.max_search_history - 1
    else:
        highest = getattr(spec, kind)
    return ops.where(ids <= highest, ops.maximum(ids, 0), 0)
