"""Random views of histories: which items one changes, drops or shuffles."""

from typing import Any

from keras import ops, random

_NEVER = 1e9  # After all sort keys.


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
    noise = ops.where(may_be, random.uniform(ops.shape(mask), seed=seed), _NEVER)
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
    stays = ops.logical_or(ops.logical_not(drops), _stay(noise, mask, share))
    kept = ops.logical_and(mask, stays)
    place = ops.cast(ops.arange(slots), "float32")[None, :]
    keys = ops.where(drops, place, _shuffle_run(noise, per_row[:, 1:], mask, share))
    order = ops.argsort(ops.where(kept, keys, _NEVER), axis=1)
    return ops.cast(order, "int32"), place < _count(kept)


def _stay(noise, mask, share):
    """Which items are not dropped; the one of the highest number never is."""
    highest = ops.where(mask, noise, -1.0)
    highest = ops.max(highest, axis=1, keepdims=True, initial=-1.0)
    return ops.logical_or(noise >= share, noise == highest)


def _shuffle_run(noise, where, mask, share):
    """Sort keys of the slots: those inside of a run are in the order of their noise."""
    run = ops.cast(_part(mask, share), "float32")
    start = ops.floor(where * (_count(mask) - run + 1))
    place = ops.cast(ops.arange(ops.shape(mask)[1]), "float32")[None, :]
    inside = ops.logical_and(place >= start, place < start + run)
    return ops.where(inside, start + noise * run, place + 0.5)


def _count(mask):
    """Number of true slots of each row: float32 `(B, 1)`."""
    return ops.sum(ops.cast(mask, "float32"), axis=1, keepdims=True)


def _part(mask, share):
    """ceil(share · L) of each history: int32 `(B, 1)`."""
    # 0.3 · 10 is 3.0000001 in float32.
    return ops.cast(ops.ceil(share * _count(mask) - 1e-4), "int32")
