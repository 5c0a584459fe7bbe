"""The official projects, each with our model of it."""

import dataclasses
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from sar_tf.interop import (
    sesrec,
    sesrec_fixture,
    unisar,
    unisar_fixture,
    weights,
)


@dataclasses.dataclass(frozen=True)
class Project:
    """An official project.

    Attributes:
        model: name of our model.
        checkpoint: module for the names and shapes of its weights.
        fixture: module for the contents of its fixtures.
    """

    model: str
    checkpoint: ModuleType
    fixture: ModuleType

    def assign(self, model: Any, state: Mapping[str, np.ndarray]) -> None:
        """Sets all weights of a built model, or none; see `weights.assign`."""
        features = self.checkpoint.features(state)
        entries = self.checkpoint.entries(model, features)
        weights.assign(entries, state, self.checkpoint.IGNORED)


_PROJECTS = (
    Project("sesrec", sesrec, sesrec_fixture),
    Project("unisar", unisar, unisar_fixture),
)


def names() -> list[str]:
    """Names of our models that can read official weights."""
    return [project.model for project in _PROJECTS]


def of_weights(state: Mapping[str, np.ndarray]) -> Project:
    """The project of official weights, found by their names.

    Raises:
        InteropError: The weights belong to no project.
    """
    for project in _PROJECTS:
        if any(name.startswith(project.checkpoint.PREFIX) for name in state):
            return project
    raise weights.InteropError(
        f"these are not weights of {' or '.join(names())}: no name begins with "
        + " or ".join(f"{p.checkpoint.PREFIX}…" for p in _PROJECTS)
    )
