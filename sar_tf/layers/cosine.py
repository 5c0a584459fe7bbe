"""The cosine of vectors."""

from typing import Any

from keras import ops

_EPSILON = 1e-12


def cosine(one: Any, other: Any) -> Any:
    """Cosine over the last axis, in float32; 0 where a vector is 0."""
    one, other = ops.cast(one, "float32"), ops.cast(other, "float32")
    product = ops.sum(one * other, axis=-1)
    squares = ops.sum(one * one, axis=-1) * ops.sum(other * other, axis=-1)
    return product / ops.sqrt(ops.maximum(squares, _EPSILON))
