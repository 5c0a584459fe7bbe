"""Golden fixtures: weights, inputs and outputs of the official code.

A fixture is an .npz with `config` (JSON), `state/…` (weights), `input/…`,
`table/…` (feature look-up tables, where there are features) and `output/…`.
"""

import dataclasses
import json
import os
import zipfile

import numpy as np

from sar_tf import models
from sar_tf.interop import projects
from sar_tf.interop.weights import InteropError


@dataclasses.dataclass(frozen=True)
class Fixture:
    """The parts of a fixture file, by name."""

    config: dict
    state: dict
    inputs: dict
    tables: dict
    outputs: dict

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Fixture":
        """Reads a fixture.

        Raises:
            InteropError: The fixture is damaged or lacks a part.
        """
        kinds = ("state", "input", "table", "output")
        parts: dict[str, dict[str, np.ndarray]] = {kind: {} for kind in kinds}
        try:
            with np.load(path, allow_pickle=False) as archive:
                config = json.loads(str(archive["config"]))
                for key in archive.files:
                    part, _, name = key.partition("/")
                    if part in parts:
                        parts[part][name] = archive[key]
        except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise InteropError(f"{path} is no fixture, or damaged: {error}") from error
        empty = [part for part in ("state", "input", "output") if not parts[part]]
        if empty:
            raise InteropError(f"{path}: nothing under {', '.join(empty)}")
        return cls(
            config, parts["state"], parts["input"], parts["table"], parts["output"]
        )


def build_model(fixture: Fixture) -> tuple[models.Model, dict]:
    """Our model with a fixture's sizes, weights and feature tables.

    Args:
        fixture: a `Fixture` of any official project.

    Returns:
        The model, without dropout, and the fixture's inputs as its batch.

    Raises:
        InteropError: The weights belong to none of our models.
    """
    project = projects.of_weights(fixture.state)
    checkpoint, contents = project.checkpoint, project.fixture
    features = checkpoint.features(fixture.state)
    hyperparameters = checkpoint.hyperparameters(fixture.state, features)
    try:
        hyperparameters |= contents.hyperparameters(fixture.config)
        spec, batch = contents.data_spec(fixture), contents.batch(fixture)
    except KeyError as error:
        raise InteropError(f"the fixture has no {error}") from error
    tables = contents.feature_tables(fixture)
    model = models.get(project.model)(spec, tables, dropout=0.0, **hyperparameters)
    project.assign(model, fixture.state)
    return model, batch


def compute_outputs(fixture: Fixture) -> dict[str, np.ndarray]:
    """Our model's outputs for a fixture: `{official output name: array}`."""
    model, batch = build_model(fixture)
    contents = projects.of_weights(fixture.state).fixture
    outputs = contents.outputs(model, batch)
    return {name: np.asarray(value) for name, value in outputs.items()}
