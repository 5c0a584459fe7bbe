"""Checkpoints: one file with all that training needs to go on as if undisturbed."""

import hashlib
import json
import logging
import math
from pathlib import Path

import h5py
import keras
import numpy as np

from sar_tf.training.files import reserve, whole_file

_LOG = logging.getLogger(__name__)

_STATE = "training_state"
_RANDOM_STATES = "random_states"
_CHECKSUM = "sha256"
# What HDF5 adds: about 1 KiB an array and the group it is in.
_BYTES_A_FILE = 1 << 16
_BYTES_AN_ARRAY = 1 << 12
# What h5py raises where single bits of a file are flipped: tried thousands of times.
_SIGNS_OF_DAMAGE = (
    KeyError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; says which file and what to do."""


class DamagedError(CheckpointError):
    """A checkpoint that is not what was written.

    Args:
        path: The file.
        reason: How that shows.
    """

    def __init__(self, path, reason):
        self.damage = f"{path} is damaged ({reason})"
        super().__init__(f"{self.damage}; train again in another --run_dir")


def save(path, model, state, previous=None):
    """Writes a checkpoint, whole or not at all.

    The file holds the model's weights and its optimizer's (the layout of Keras'
    `save_weights`, which also loads it), the states of its random generators, which
    Keras leaves out, `state`, and a checksum of all that, for HDF5 does not notice
    a number that changed on the disk.

    Args:
        path: Ends in ".weights.h5".
        model: A built and compiled `keras.Model`, its optimizer built too.
        state: What JSON can hold: epoch, step, the callbacks' states.
        previous: What the file that was there before is called from then on; None
            deletes it.

    Raises:
        WriteError: The disk is full or the folder cannot be written.
    """
    state = json.dumps(state)
    with whole_file(path, previous) as beside:
        # HDF5 must not be the one to find the disk full: it goes on trying to write
        # what it has in memory, complains on standard error and may crash.
        reserve(beside, _num_bytes(model))
        model.save_weights(beside, overwrite=True)
        with h5py.File(beside, "r+") as file:
            file.attrs[_STATE] = state
            random_states = file.create_group(_RANDOM_STATES)
            for index, variable in enumerate(_random_variables(model)):
                random_states[str(index)] = variable.numpy()
            file.attrs[_CHECKSUM] = _checksum(file)


def load_state(path):
    """Reads `state` of a checkpoint and checks that the whole file is as written.

    Raises:
        CheckpointError: The file is missing, damaged or no checkpoint of ours.
    """
    try:
        with h5py.File(path, "r") as file:
            # Checkpoints had no checksum at first.
            if file.attrs.get(_CHECKSUM) not in (None, _checksum(file)):
                raise DamagedError(path, "its checksum is not that of its content")
            return json.loads(file.attrs[_STATE])
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: no such checkpoint; train first, with --mode=train"
        ) from error
    except (PermissionError, DamagedError):
        raise  # Where it may not be read, it may be as good as ever.
    except _SIGNS_OF_DAMAGE as error:
        raise DamagedError(path, str(error).partition("\n")[0]) from error


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


def load_last(last, previous, model):
    """Restores a model from its last checkpoint, or from the one before it.

    A last checkpoint that is damaged is named in a warning; the one before it then
    takes its place, so that the next one does not push out the only one that is good.

    Args:
        last, previous: The files, either of which may be missing.
        model: As in `load`.

    Returns:
        The `state` that was saved; None where there is neither file.

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
            _LOG.warning("%s; going on from %s, the one before it", *damages, path)
        if path != Path(last):
            path.replace(last)
        return state
    if damages:
        raise CheckpointError(
            f"{' and '.join(damages)}, and there is no other to go on from; train "
            "again in another --run_dir"
        )
    return None


def find_not_finite(model):
    """The path of a weight or optimizer variable that is not finite, or None."""
    for variable in (*model.trainable_variables, *model.optimizer.variables):
        if not keras.ops.all(keras.ops.isfinite(variable)):
            return variable.path
    return None


def _checksum(file):
    """Of the training state and of every array's name, type, shape and content."""
    digest = hashlib.sha256(file.attrs[_STATE].encode())

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
