"""Random views of histories: which items one changes, drops or shuffles."""

from typing import Any

from keras import ops, random

_LAST = 2.0  # After all random numbers.


def draw_chosen(may_be: Any, mask: Any, share: float, seed: Any) -> Any:
    """Chooses ceil(share · L) of the L items of each history, at random.

    Args:
        may_be: bool `(B, N)`, the items that may be chosen; all where there are fewer.
        mask: bool `(B, N)`, the items.
        share: Share of the items.
        seed: A `keras.random.SeedGenerator`.

    Returns:
        bool `(B, N)`.
    """
    noise = ops.where(may_be, random.uniform(ops.shape(mask), seed=seed), _LAST)
    places = ops.argsort(ops.argsort(noise, axis=1), axis=1)
    return ops.logical_and(places < _part(mask, share), may_be)


def draw_order(mask: Any, share: float, seed: Any) -> tuple[Any, Any]:
    """The items of a view of each history, in the view's order.

    Half of the histories, drawn at random, lose each item with probability share, but
    not all items. In the others a run of ceil(share · L) items is shuffled.

    Args:
        mask: bool `(B, N)`, the items, which lie before the empty slots.
        share: Share of the items.
        seed: A `keras.random.SeedGenerator`.

    Returns:
        int `(B, N)`, the slot of each of the view's items, and bool `(B, N)`, the slots
        of the view that hold one.
    """
    size, slots = ops.shape(mask)
    noise = random.uniform((size, slots), seed=seed)
    per_row = random.uniform((size, 2), seed=seed)
    drops = per_row[:, :1] < 0.5
    # The item with the highest number stays in any case.
    highest = ops.where(mask, noise, -1.0)
    highest = ops.max(highest, axis=1, keepdims=True, initial=-1.0)
    stays = ops.logical_or(noise >= share, noise == highest)
    kept = ops.logical_and(mask, ops.logical_or(stays, ops.logical_not(drops)))
    # A run from `start` on: its items get random places inside of it.
    length = ops.sum(ops.cast(mask, "float32"), axis=1, keepdims=True)
    run = ops.cast(_part(mask, share), "float32")
    start = ops.floor(per_row[:, 1:] * (length - run + 1))
    place = ops.cast(ops.arange(slots), "float32")[None, :]
    inside = ops.logical_and(place >= start, place < start + run)
    shuffled = ops.where(inside, start + noise * run, place + 0.5)
    keys = ops.where(drops, place, shuffled)
    order = ops.argsort(ops.where(kept, keys, slots + place), axis=1)
    number = ops.sum(ops.cast(kept, "float32"), axis=1, keepdims=True)
    return ops.cast(order, "int32"), place < number


def _part(mask, share):
    """ceil(share · L) of each history: int32 `(B, 1)`."""
    length = ops.sum(ops.cast(mask, "float32"), axis=1, keepdims=True)
    # 0.3 · 10 is 3.0000001 in float32.
    return ops.cast(ops.ceil(share * length - 1e-4), "int32")
