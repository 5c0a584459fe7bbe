"""Official PyTorch weights, mapped onto our variables.

A mapping is a list of `Entry`: one of our variables, the names of the
official weights that it holds, and how it is made from them. Linear weights
are `(out, in)` there and `(in, out)` here.
"""

import dataclasses
import re
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Entry:
    """A variable and the official weights that it is made of."""

    variable: object
    names: tuple
    combine: Callable


def entry(variable, name):
    """A weight of the same layout."""
    return Entry(variable, (name,), lambda weight: weight)


def transposed(variable, *names):
    """Linear weights; several are put side by side as output units."""
    return Entry(variable, names, lambda *weights: np.concatenate(weights, axis=0).T)


def concatenated(variable, *names):
    """Biases of several layers, one after another."""
    return Entry(variable, names, lambda *weights: np.concatenate(weights, axis=0))


def dense(layer, name):
    """Entries of a Dense layer."""
    return [
        transposed(layer.kernel, f"{name}.weight"),
        entry(layer.bias, f"{name}.bias"),
    ]


def layer_norm(layer, name):
    """Entries of a LayerNormalization."""
    return [
        entry(layer.gamma, f"{name}.weight"),
        entry(layer.beta, f"{name}.bias"),
    ]


def attention(layer, name):
    """Entries of a MaskedAttention."""
    return [
        transposed(layer.qkv_kernel, f"{name}.in_proj_weight"),
        entry(layer.qkv_bias, f"{name}.in_proj_bias"),
        *dense(layer.output_dense, f"{name}.out_proj"),
    ]


def embedding(layer, name):
    """Entry of an Embedding."""
    return entry(layer.embeddings, f"{name}.weight")


def assign(entries, state, ignored=()):
    """Sets variables from official weights, or changes nothing.

    Args:
        entries: the mapping of the model.
        state: `{official name: array}`.
        ignored: patterns of names in `state` that no variable needs.

    Raises:
        ValueError: lists every missing and surplus weight, and every shape
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
        except ValueError as error:
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
        raise ValueError(
            f"the weights do not fit the model ({len(problems)} problems):\n  "
            + "\n  ".join(problems)
        )
    for variable, value in values:
        variable.assign(value)
