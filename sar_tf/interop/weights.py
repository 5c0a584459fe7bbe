"""Official PyTorch weights, mapped onto our variables.

A mapping is a list of `Entry`: one of our variables, the names of its official
weights, and a function that combines them. Linear weights are `(out, in)` in
PyTorch and `(in, out)` here.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np


class InteropError(ValueError):
    """Official weights or a fixture cannot be used; the text gives all reasons."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A variable and the official weights that it is made of."""

    variable: Any
    names: tuple
    combine: Callable


def entry(variable: Any, name: str) -> Entry:
    """A weight of the same layout."""
    return Entry(variable, (name,), lambda weight: weight)


def transposed(variable: Any, *names: str) -> Entry:
    """Linear weights; several are concatenated along the output units."""
    return Entry(variable, names, lambda *weights: np.concatenate(weights, axis=0).T)


def concatenated(variable: Any, *names: str) -> Entry:
    """Biases of several layers, one after another."""
    return Entry(variable, names, lambda *weights: np.concatenate(weights, axis=0))


def dense(layer: Any, name: str) -> list[Entry]:
    """Entries of a Dense layer."""
    return [
        transposed(layer.kernel, f"{name}.weight"),
        entry(layer.bias, f"{name}.bias"),
    ]


def dense_of_blocks(
    layer: Any, name: str, official: Sequence[str], ours: Mapping[str, int]
) -> list[Entry]:
    """Entries of a Dense layer on concatenated features, in another order.

    Args:
        layer: the layer.
        name: name of the official layer.
        official: names of the features in the official order.
        ours: `{name: width}` in our order.
    """
    columns = columns_of_blocks(official, ours)
    return [
        Entry(layer.kernel, (f"{name}.weight",), lambda weight: weight[:, columns].T),
        entry(layer.bias, f"{name}.bias"),
    ]


def columns_of_blocks(
    official: Sequence[str], ours: Mapping[str, int]
) -> np.ndarray | slice:
    """Official input columns in our order; all, unchanged, if the names differ."""
    if set(official) != set(ours):
        return slice(None)
    ends = np.cumsum([ours[name] for name in official])
    end_of = dict(zip(official, ends, strict=True))
    return np.concatenate(
        [np.arange(end_of[name] - width, end_of[name]) for name, width in ours.items()]
    )


def layer_norm(layer: Any, name: str) -> list[Entry]:
    """Entries of a LayerNormalization."""
    return [
        entry(layer.gamma, f"{name}.weight"),
        entry(layer.beta, f"{name}.bias"),
    ]


def attention(layer: Any, name: str) -> list[Entry]:
    """Entries of a MaskedAttention."""
    return [
        transposed(layer.qkv_kernel, f"{name}.in_proj_weight"),
        entry(layer.qkv_bias, f"{name}.in_proj_bias"),
        *dense(layer.output_dense, f"{name}.out_proj"),
    ]


def embedding(layer: Any, name: str) -> Entry:
    """Entry of an Embedding."""
    return entry(layer.embeddings, f"{name}.weight")


def assign(
    entries: Sequence[Entry],
    state: Mapping[str, np.ndarray],
    ignored: Sequence[str] = (),
) -> None:
    """Sets variables from official weights, or changes nothing.

    Args:
        entries: the mapping of the model.
        state: `{official name: array}`.
        ignored: patterns of names in `state` that no variable needs.

    Raises:
        InteropError: Lists every missing and surplus weight, and every shape
            that does not fit.
    """
    values, problems = [], []
    for item in entries:
        missing = [name for name in item.names if name not in state]
        problems += [f"missing: {name}" for name in missing]
        if missing:
            continue
        try:
            value = item.combine(*(np.asarray(state[name]) for name in item.names))
        except (IndexError, ValueError) as error:
            problems.append(f"shapes do not match: {', '.join(item.names)}: {error}")
            continue
        if value.shape != tuple(item.variable.shape):
            problems.append(
                f"shape of {', '.join(item.names)}: {value.shape}, "
                f"but the model has {tuple(item.variable.shape)}"
            )
        values.append((item.variable, value))
    used = {name for item in entries for name in item.names}
    problems += [
        f"surplus: {name}"
        for name in sorted(set(state) - used)
        if not any(re.search(pattern, name) for pattern in ignored)
    ]
    if problems:
        raise InteropError(
            f"the weights do not fit the model ({len(problems)} problems):\n  "
            + "\n  ".join(problems)
        )
    for variable, value in values:
        variable.assign(value)


class Shapes:
    """Sizes from the shapes of official weights; weights may be missing.

    Args:
        state: `{official name: array}`.
    """

    def __init__(self, state: Mapping[str, np.ndarray]) -> None:
        self._shapes = {name: tuple(np.shape(array)) for name, array in state.items()}

    def names(self, pattern: str) -> list[str]:
        """Distinct first groups of a pattern in the names' beginnings, in order."""
        matches = (re.match(pattern, name) for name in self._shapes)
        return list(dict.fromkeys(match[1] for match in matches if match))

    def size(self, name: str, axis: int = 0) -> int | None:
        """Size of an axis; None if the weight is missing or has no such axis."""
        shape = self._shapes.get(name, ())
        return shape[axis] if -len(shape) <= axis < len(shape) else None

    def first(self, *sizes: int | None) -> int | None:
        """The first size that is not None, or None."""
        return next((size for size in sizes if size is not None), None)

    def units(self, prefix: str) -> tuple[int, ...]:
        """Output units of the Dense layers `prefix.0`, `prefix.3`, … in order."""
        indices = sorted(map(int, self.names(re.escape(prefix) + r"\.(\d+)\.")))
        units = [
            self.first(
                self.size(f"{prefix}.{i}.bias"), self.size(f"{prefix}.{i}.weight")
            )
            for i in indices
        ]
        return tuple(size for size in units if size is not None)


def known(sizes: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a dict that are neither None nor empty."""
    return {name: size for name, size in sizes.items() if size not in (None, (), 0)}
