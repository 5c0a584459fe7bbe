"""Histories of like length together: fewer padded slots, and arrays that fit a cache.

A batch tells where its histories are cut into groups. Everything here turns a batch of
any layout into groups and puts the targets' rows back into the batch's order.
"""

from typing import Any, NamedTuple

import keras
from keras import ops

from sar_tf.inputs import INPUTS, ROW_PARTS


class Group(NamedTuple):
    """Consecutive histories, as wide as the longest of them."""

    start: Any  # The first history's row.
    end: Any
    history: dict[str, Any] | None  # None: the model reads no history.


class Rows(NamedTuple):
    """A task's rows, sorted by group."""

    order: Any  # (B,) the row of the batch at each place; None: as they are.
    history_row: Any  # (B,) in that order; None: row b reads history b.
    cuts: list  # Of each group: its first and its last place + 1.

    def sort(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The inputs with their rows in this order; draws have no rows."""
        if self.order is None:
            return inputs
        return {
            name: ops.take(x, self.order, axis=0)
            if INPUTS[name].part in ROW_PARTS
            else x
            for name, x in inputs.items()
        }

    def restore(self, arrays: Any) -> Any:
        """Arrays of rows in this order, in the batch's order again."""
        if self.order is None:
            return arrays
        places = ops.argsort(self.order)
        return keras.tree.map_structure(lambda x: ops.take(x, places, axis=0), arrays)


def cut_histories(history: dict[str, Any], trims: bool) -> list[Group]:
    """The groups of a batch's histories.

    Args:
        history: The batch's "history".
        trims: Whether groups are cut to the width of their longest history.
    """
    arrays = {name: x for name, x in history.items() if INPUTS[name].part == "history"}
    number = num_groups(history)
    if number == 1:
        return [Group(0, None, arrays)]
    groups, start = [], 0
    for index in range(number):
        end = history["group_ends"][index]
        widths = {"Nr": history["rec_widths"], "Ns": history["search_widths"]}
        own = {}
        for name, x in arrays.items():
            rows = x[start:end]
            width = widths[INPUTS[name].axes[1]][index]
            own[name] = rows[:, :width] if trims else rows
        groups.append(Group(start, end, own))
        start = end
    return groups


def num_groups(history: dict[str, Any]) -> int:
    """Number of groups of a batch's histories; 1 where it does not say.

    Nor does a graph that is traced for batches of several numbers: then all histories
    are one group, which gives the same numbers in more time. On JAX they always are,
    as it cannot cut arrays at places that a batch tells.
    """
    if "group_ends" not in history or keras.backend.backend() == "jax":
        return 1
    return history["group_ends"].shape[0] or 1


def sort_rows(inputs: dict[str, Any], groups: list[Group]) -> Rows:
    """A task's rows, sorted by the group that their histories are in.

    Args:
        inputs: The task's inputs. With one group they may be without "history_row":
            then target b reads history b.
        groups: The groups.
    """
    history_row = inputs.get("history_row")
    if len(groups) == 1:
        return Rows(None, history_row, [(0, None)])
    order = ops.argsort(history_row)
    history_row = ops.take(history_row, order, axis=0)
    ends = ops.stack([ops.cast(group.end, "int32") for group in groups])
    ends = ops.searchsorted(history_row, ends)
    cuts, start = [], 0
    for index in range(len(groups)):
        cuts.append((start, ends[index]))
        start = ends[index]
    return Rows(order, history_row, cuts)


def slice_rows(arrays: Any, cut: tuple) -> Any:
    """The rows from a cut's start to its end; all where it has no end."""
    start, end = cut
    if end is None:
        return arrays
    return keras.tree.map_structure(lambda x: x[start:end], arrays)


def rows_of_group(history_row: Any, cut: tuple, start: Any) -> Any:
    """The rows of the group's histories that the targets in a cut read.

    Args:
        history_row: `(B,)`, rows of the batch's histories; None where target b reads
            history b, and there is one group.
        cut: The targets' start and end.
        start: The group's first history.
    """
    return None if history_row is None else slice_rows(history_row, cut) - start


def take_rows(arrays: Any, rows: Any) -> Any:
    """Some rows of a structure of arrays; None is all of them."""
    if rows is None:
        return arrays
    return keras.tree.map_structure(lambda x: ops.take(x, rows, axis=0), arrays)


def concatenate_rows(parts: list) -> Any:
    """The rows of several structures of arrays, one after another."""
    if len(parts) == 1:
        return parts[0]
    return keras.tree.map_structure(lambda *x: ops.concatenate(x, axis=0), *parts)
