"""Checkpoints: one file with everything that training needs to continue exactly."""

import hashlib
import json
import logging
import math
from pathlib import Path

import h5py
import keras
import numpy as np

from sar_tf.files import whole_file
from sar_tf.training.files import reserve

_LOG = logging.getLogger(__name__)

_STATE = "training_state"
_RANDOM_STATES = "random_states"
_DATASET = "dataset"
_CHECKSUM = "sha256"
# Upper bounds of HDF5's own bytes, about 1 KiB for an array and its group.
_BYTES_A_FILE = 1 << 16
_BYTES_AN_ARRAY = 1 << 12
# Errors of h5py for files with single flipped bits, from thousands of trials.
_SIGNS_OF_DAMAGE = (
    KeyError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the text names the file and what to do."""


class DamagedError(CheckpointError):
    """A checkpoint changed after it was written.

    Args:
        path: The file.
        reason: The sign of the damage.
    """

    def __init__(self, path, reason):
        self.damage = f"{path} is damaged ({reason})"
        super().__init__(f"{self.damage}; train again in another --run_dir")


def save(path, model, state, previous=None):
    """Writes a checkpoint, whole or not at all.

    The file holds the weights of the model and of its optimizer (in the layout of
    Keras' `save_weights`), the states of its random generators (Keras omits them),
    `state`, the fingerprint of the model's dataset, and a checksum of all this. HDF5
    does not notice a number that changed on the disk.

    Args:
        path: The file; its name ends in ".weights.h5".
        model: A compiled `keras.Model`; the model and its optimizer are built.
        state: Epoch, step and states of the callbacks, in types of JSON.
        previous: New name of the old file at `path`; None deletes it.

    Raises:
        WriteError: The disk is full or the folder cannot be written.
    """
    state = json.dumps(state)
    with whole_file(path, previous) as beside:
        # Finds a full disk before HDF5 does. HDF5 repeats the write, prints to
        # standard error and may crash.
        reserve(beside, _num_bytes(model))
        model.save_weights(beside, overwrite=True)
        with h5py.File(beside, "r+") as file:
            file.attrs[_STATE] = state
            file.attrs[_DATASET] = _fingerprint(model)
            random_states = file.create_group(_RANDOM_STATES)
            for index, variable in enumerate(_random_variables(model)):
                random_states[str(index)] = variable.numpy()
            file.attrs[_CHECKSUM] = _checksum(file)


def load_state(path):
    """Reads `state` of a checkpoint and checks the checksum of the file.

    Raises:
        CheckpointError: The file is missing, damaged or not a checkpoint of `save`.
    """
    try:
        with h5py.File(path, "r") as file:
            # The first checkpoints had no checksum.
            if file.attrs.get(_CHECKSUM) not in (None, _checksum(file)):
                raise DamagedError(path, "its checksum is not that of its content")
            return json.loads(file.attrs[_STATE])
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: no such checkpoint; if the run has not ended its first epoch, "
            "go on with --resume; else put back a copy of it, or train again in "
            "another --run_dir"
        ) from error
    except (PermissionError, DamagedError):
        raise  # A file without permission may be undamaged.
    except _SIGNS_OF_DAMAGE as error:
        raise DamagedError(path, str(error).partition("\n")[0]) from error


def load(path, model):
    """Restores a model, its optimizer and its random generators.

    Args:
        path: A file that `save` wrote.
        model: A built model like the saved one. If it is compiled, its optimizer is
            built and is restored too.

    Returns:
        The `state` that was saved.

    Raises:
        CheckpointError: The file is missing, damaged or of another model or dataset.
    """
    state = load_state(path)
    _require_same_dataset(path, model)
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


def load_last(last, previous, model):
    """Restores a model from its last checkpoint, or from the one before it.

    If the last checkpoint is damaged, a warning names it and the one before takes its
    place. The next checkpoint then does not delete the only good one.

    Args:
        last, previous: The files; each may be missing.
        model: As in `load`.

    Returns:
        The `state` that was saved; None if both files are missing.

    Raises:
        CheckpointError: There are files, but all are damaged or of another model.
    """
    damages = []
    for path in (Path(last), Path(previous)):
        if not path.exists():
            continue
        try:
            state = load(path, model)
        except DamagedError as error:
            damages.append(error.damage)
            continue
        if damages:
            _LOG.warning("%s; continuing from %s, the one before it", *damages, path)
        if path != Path(last):
            path.replace(last)
        return state
    if damages:
        raise CheckpointError(
            f"{' and '.join(damages)}, and there is no other checkpoint; train "
            "again in another --run_dir"
        )
    return None


def require_best(run_dir, state):
    """Checks before training goes on that nothing of a run's past is missing.

    Args:
        run_dir: `RunDirectory`, which names the files.
        state: The state of the last checkpoint; None without one.

    Raises:
        CheckpointError: The last or the best checkpoint is missing or damaged.
    """
    if state is None:
        # A run that is killed at the end of a first epoch of one step has no last one.
        has_best = run_dir.best.exists() and load_state(run_dir.best)["epoch"] != 1
        if has_best or run_dir.metrics.exists():
            raise CheckpointError(
                f"{run_dir.last} is missing, though the run has trained; put back a "
                "copy of it, or train again in another --run_dir"
            )
    elif state["epoch"]:
        load_state(run_dir.best)


def find_not_finite(model):
    """The path of a weight or optimizer variable that is not finite, or None."""
    for variable in (*model.trainable_variables, *model.optimizer.variables):
        if not keras.ops.all(keras.ops.isfinite(variable)):
            return variable.path
    return None


def _fingerprint(model):
    """The fingerprint of the dataset that a model is made for; "" if unknown."""
    return getattr(getattr(model, "spec", None), "fingerprint", "")


def _require_same_dataset(path, model):
    with h5py.File(path, "r") as file:
        known = file.attrs.get(_DATASET, "")  # older checkpoints have none
    if known and _fingerprint(model) not in ("", known):
        raise CheckpointError(
            f"{path} was trained on another dataset: ids of this one stand for other "
            "users, items or words; use the dataset of the run that wrote it"
        )


def _checksum(file):
    """Checksum of the state, the dataset and every array's name, type and content."""
    digest = hashlib.sha256(file.attrs[_STATE].encode())
    digest.update(file.attrs.get(_DATASET, "").encode())

    def add(name, entry):
        if isinstance(entry, h5py.Dataset):
            digest.update(f"\n{name} {entry.dtype.str} {entry.shape}\n".encode())
            digest.update(np.ascontiguousarray(entry[()]))

    file.visititems(add)
    return digest.hexdigest()


def _num_bytes(model):
    """Upper bound of a checkpoint's size in bytes."""
    variables = [*model.variables, *model.optimizer.variables]
    arrays = sum(
        math.prod(variable.shape) * np.dtype(variable.dtype).itemsize
        for variable in variables
    )
    return arrays + _BYTES_AN_ARRAY * len(variables) + _BYTES_A_FILE


def _random_variables(model):
    weights = {id(variable) for variable in model.weights}
    return [v for v in model.variables if id(v) not in weights]
