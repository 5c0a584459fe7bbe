"""The items of a history in one row by time: those of searches, or of both tasks."""

from typing import Any

from keras import ops

_NEVER = (1 << 31) - 1  # After all times.


def clicks_in_time(clicked_items: Any, positions: Any = None) -> tuple[Any, Any]:
    """The clicked items of searches in one row, and their times.

    Args:
        clicked_items: int `(B, N, K)`, 0 in empty slots.
        positions: int `(B, N)`, a time of each search; None takes the slots' order.

    Returns:
        Items and times, int `(B, N · K)`: clicks of one search follow each other. A
        search of position p has the times p · K to p · K + K - 1.
    """
    size, slots, width = ops.shape(clicked_items)
    if positions is None:
        positions = ops.broadcast_to(ops.arange(slots)[None, :], (size, slots))
    times = positions[:, :, None] * width + ops.arange(width)
    row = (size, slots * width)
    return ops.reshape(clicked_items, row), ops.reshape(times, row)


def newest_in_time(items: Any, times: Any, number: int) -> Any:
    """The slots of the newest items of each row, oldest first, the empty ones last.

    Args:
        items: int `(B, M)`, 0 in empty slots.
        times: int `(B, M)`, in which no two items of a row are equal.
        number: Most items to keep.

    Returns:
        int `(B, min(M, number))`, for `take_slots`.
    """
    is_item = items > 0
    order = ops.argsort(ops.where(is_item, times, _NEVER), axis=1)
    count = ops.sum(ops.cast(is_item, "int32"), axis=1, keepdims=True)
    kept = ops.arange(ops.shape(items)[1])[:number]
    kept = kept[None, :] + ops.maximum(count - number, 0)
    return ops.cast(ops.take_along_axis(order, kept, axis=1), "int32")


def take_slots(x: Any, slots: Any) -> Any:
    """Some slots of each row: `(B, M, ...), (B, N) -> (B, N, ...)`."""
    if len(x.shape) > 2:
        slots = slots[..., None]
    return ops.take_along_axis(x, slots, axis=1)
