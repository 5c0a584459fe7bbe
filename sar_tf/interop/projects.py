"""The official projects: which of our models each belongs to."""

import dataclasses
from types import ModuleType

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
        checkpoint: what its weights are called and what their shapes tell.
        fixture: what its fixtures hold.
    """

    model: str
    checkpoint: ModuleType
    fixture: ModuleType

    def assign(self, model, state):
        """Sets all weights of a built model, or none; see `weights.assign`."""
        features = self.checkpoint.features(state)
        entries = self.checkpoint.entries(model, features)
        weights.assign(entries, state, self.checkpoint.IGNORED)


_PROJECTS = (
    Project("sesrec", sesrec, sesrec_fixture),
    Project("unisar", unisar, unisar_fixture),
)


def names():
    """Names of our models that official weights are read into."""
    return [project.model for project in _PROJECTS]


def of_weights(state):
    """The project that official weights are from, told by their names.

    Raises:
        InteropError: it is none of them.
    """
    for project in _PROJECTS:
        if any(name.startswith(project.checkpoint.PREFIX) for name in state):
            return project
    raise weights.InteropError(
        f"these are weights of neither of {', '.join(names())}: none is called "
        + " or ".join(f"{p.checkpoint.PREFIX}…" for p in _PROJECTS)
    )
