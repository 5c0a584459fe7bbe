"""Whole numbers in columns of floats, exact in types of few bits too."""

from typing import Any

from keras import ops

_BASE = 256  # bfloat16 holds whole numbers up to 256, float16 up to 2048.


def num_digits(highest: int) -> int:
    """Number of digits of whole numbers from 0 to the highest."""
    count = 1
    while _BASE**count <= highest:
        count += 1
    return count


def to_digits(numbers: Any, count: int, dtype: Any) -> Any:
    """Digits of numbers, the lowest first: int `(...) -> (..., count)`.

    Args:
        numbers: From 0.
        count: Number of digits, as `num_digits` of the highest number.
        dtype: A type of floats.

    Example:

    >>> digits = to_digits(ops.array([255, 257]), num_digits(300), "bfloat16")
    >>> from_digits(digits).numpy().tolist()
    [255, 257]
    """
    digits = [numbers // _BASE**place % _BASE for place in range(count)]
    return ops.cast(ops.stack(digits, axis=-1), dtype)


def from_digits(digits: Any) -> Any:
    """The numbers of some digits: `(..., count) -> int32 (...)`."""
    places = [_BASE**place for place in range(digits.shape[-1])]
    return ops.sum(ops.cast(digits, "int32") * ops.array(places, "int32"), axis=-1)
