"""Work on some candidates at a time: memory does not grow with their number."""

from collections.abc import Callable
from typing import Any

from keras import ops


def in_slices(function: Callable[[Any], Any], candidates: Any, size: int) -> Any:
    """What a function gives of candidates, computed slice by slice.

    Args:
        function: From `(B, size, D)` to `(B, size, K)`, each candidate on its own.
        candidates: `(B, C, D)`. A static C of `size` or less is one slice as it is.
        size: Number of candidates of a slice.

    Returns:
        `(B, C, K)`.
    """
    number = candidates.shape[1]
    if number is not None and number <= size:
        return function(candidates)
    rows, count, width = ops.shape(candidates)
    slices = -(-count // size)
    padded = slices * size
    parts = ops.pad(candidates, ((0, 0), (0, padded - count), (0, 0)))
    parts = ops.reshape(parts, (rows, slices, size, width))
    found = ops.map(function, ops.transpose(parts, (1, 0, 2, 3)))
    found = ops.transpose(found, (1, 0, 2, 3))
    return ops.reshape(found, (rows, padded, ops.shape(found)[-1]))[:, :count]
