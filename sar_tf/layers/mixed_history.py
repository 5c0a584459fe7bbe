"""The behaviors of both tasks as one sequence, and its sessions."""

from typing import Any

from keras import ops


def mix(rec: Any, search: Any) -> Any:
    """The slots of both histories, one history after the other.

    Args:
        rec: `(B, Nr, ...)`.
        search: `(B, Ns, ...)`.

    Returns:
        `(B, Nr + Ns, ...)`. The slots' positions tell their order in time.
    """
    return ops.concatenate([rec, search], axis=1)


def times_of_tokens(rec_positions: Any, search_positions: Any, num_clicks: int) -> Any:
    """When each item and query comes, in the order of a history's tokens.

    A search is its query and then its clicks. The tokens are all recommendations, all
    queries and the clicks of all searches.

    Args:
        rec_positions: int `(B, Nr)`, the rank of each behavior in time.
        search_positions: int `(B, Ns)`.
        num_clicks: Clicks K of a search.

    Returns:
        int `(B, Nr + Ns + Ns · K)`, different for all behaviors.
    """
    size, slots = ops.shape(search_positions)
    queries = search_positions * (num_clicks + 1)
    clicks = queries[:, :, None] + 1 + ops.arange(num_clicks)
    clicks = ops.reshape(clicks, (size, slots * num_clicks))
    recs = rec_positions * (num_clicks + 1)
    return ops.concatenate([recs, queries, clicks], axis=1)


def sessions_by_number(positions: Any, mask: Any, length: int) -> Any:
    """The session of each slot, where a session is a number of behaviors.

    Args:
        positions: int `(B, N)`, the rank of each behavior in time, from 0.
        mask: bool `(B, N)`, true where a slot holds a behavior.
        length: Behaviors of a session.

    Returns:
        int `(B, N)`: 0 of the `length` newest behaviors, 1 of those before them, ….
    """
    number = ops.sum(ops.cast(mask, "int32"), axis=1, keepdims=True)
    return (number - 1 - positions) // length
