"""Soft sessions: windows of a sequence whose vectors are compared."""

from typing import Any

from keras import ops

from sar_tf.layers.cosine import cosine


def window_masks(places: Any, length: Any, number: int) -> Any:
    """The slots of each window, whether they hold something or not.

    Window k of S holds the places t with `(4k + 1) / 4S <= t / n <= (4k + 3) / 4S`: its
    middle is (k + 1/2) / S of the n places, its half-width 1/4 of its share.

    Args:
        places: int `(B, N)`, the place t = 0, 1, … of each slot in time.
        length: int `(B,)`, the number n of places.
        number: Number of windows S.

    Returns:
        bool `(B, S, N)`.
    """
    window = ops.arange(number)[None, :, None]
    place = 4 * number * places[:, None, :]
    length = length[:, None, None]
    return ops.logical_and(
        place >= (4 * window + 1) * length, place <= (4 * window + 3) * length
    )


def window_means(x: Any, windows: Any) -> tuple[Any, Any]:
    """The mean vector of each window.

    Args:
        x: `(B, N, D)`.
        windows: bool `(B, S, N)`.

    Returns:
        `(B, S, D)`, 0 where a window is empty, and bool `(B, S)`, which are not.
    """
    weights = ops.cast(windows, x.dtype)
    count = ops.sum(weights, axis=-1, keepdims=True)
    means = ops.matmul(weights, x) / ops.maximum(count, 1)
    return means, ops.any(windows, axis=-1)


def double_at(x: Any, is_chosen: Any, windows: Any) -> Any:
    """The vector of one slot of each row, doubled where it lies in a window.

    A window's outputs have its mean of themselves added.

    Args:
        x: `(B, N, D)`.
        is_chosen: bool `(B, N)`, true at one slot.
        windows: bool `(B, S, N)`.

    Returns:
        `(B, D)`.
    """
    weights = ops.cast(is_chosen, x.dtype)
    is_doubled = ops.any(ops.logical_and(windows, is_chosen[:, None, :]), axis=(1, 2))
    vector = ops.einsum("bn,bnd->bd", weights, x)
    return vector * (1 + ops.cast(is_doubled, x.dtype))[:, None]


def likeness_within(means: Any, is_there: Any) -> tuple[Any, Any]:
    """`|cos(s_k, s_k+1)|` of neighbouring windows.

    Args:
        means, is_there: As `window_means` returns them.

    Returns:
        Values `(B · (S - 1),)` and, 0 where a window is empty, their weights.
    """
    values = ops.abs(cosine(means[:, :-1], means[:, 1:]))
    counts = ops.logical_and(is_there[:, :-1], is_there[:, 1:])
    return ops.reshape(values, (-1,)), ops.reshape(counts, (-1,))


def likeness_between(means: Any, is_there: Any) -> tuple[Any, Any]:
    """`cos(s_k of one sequence, s_k of the other)` of windows of the same times.

    Args:
        means, is_there: Two of each, as `window_means` returns them.

    Returns:
        Values `(B · S,)` and, 0 where a window is empty, their weights.
    """
    values = cosine(*means)
    return ops.reshape(values, (-1,)), ops.reshape(ops.logical_and(*is_there), (-1,))
