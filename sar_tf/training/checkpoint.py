"""Checkpoints: one file with all that training needs to go on as if undisturbed."""

import json
import os
from pathlib import Path

import h5py

_STATE = "training_state"
_RANDOM_STATES = "random_states"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; says which file and what to do."""


def save(path, model, state):
    """Writes a checkpoint, whole or not at all.

    The file holds the model's weights and its optimizer's (the layout of Keras'
    `save_weights`, which also loads it), the states of its random generators, which
    Keras leaves out, and `state`.

    Args:
        path: Ends in ".weights.h5".
        model: A built `keras.Model`.
        state: What JSON can hold: epoch, step, the callbacks' states.
    """
    path = Path(path)
    beside = path.with_name(f".partial-{path.name}")
    model.save_weights(beside, overwrite=True)
    with h5py.File(beside, "r+") as file:
        file.attrs[_STATE] = json.dumps(state)
        random_states = file.create_group(_RANDOM_STATES)
        for index, variable in enumerate(_random_variables(model)):
            random_states[str(index)] = variable.numpy()
    with open(beside, "rb") as file:
        os.fsync(file.fileno())
    beside.replace(path)


def load_state(path):
    """Reads `state` of a checkpoint, and nothing else.

    Raises:
        CheckpointError: The file is missing, damaged or no checkpoint of ours.
    """
    try:
        with h5py.File(path, "r") as file:
            return json.loads(file.attrs[_STATE])
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: no such checkpoint; train first, with --mode=train"
        ) from error
    except (OSError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path} is damaged ({error}); delete it and train again"
        ) from error


def load(path, model):
    """Restores a model, its optimizer and its random generators.

    Args:
        path: A file that `save` wrote.
        model: A built model like the saved one. Its optimizer is restored where it is
            compiled with one, which must be built too.

    Returns:
        The `state` that was saved.

    Raises:
        CheckpointError: The file is missing, damaged or of another model.
    """
    state = load_state(path)
    try:
        model.load_weights(path)
        with h5py.File(path, "r") as file:
            for index, variable in enumerate(_random_variables(model)):
                variable.assign(file[_RANDOM_STATES][str(index)][()])
    except (OSError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path} does not fit this model ({error}); use the flags and the dataset "
            "of the run that wrote it"
        ) from error
    return state


def _random_variables(model):
    weights = {id(variable) for variable in model.weights}
    return [v for v in model.variables if id(v) not in weights]
