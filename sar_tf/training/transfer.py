"""Starts a model from the weights of another run."""

import dataclasses
import tempfile
from pathlib import Path

import h5py

from sar_tf.training import checkpoint

_OPTIMIZER = "optimizer"


@dataclasses.dataclass(frozen=True)
class Transfer:
    """What became of the weights of two models, by their places in the models.

    A place is like "item_encoder/id_embedding/vars/0".

    Attributes:
        taken: Weights that were taken over.
        new: Weights of the model that the other one does not have.
        left: Weights of the other model that were not taken over.
    """

    taken: tuple[str, ...]
    new: tuple[str, ...]
    left: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(
            f"{field.name} {len(places)}{_by_layer(places)}"
            for field in dataclasses.fields(self)
            for places in [getattr(self, field.name)]
        )


def take_weights(model, path) -> Transfer:
    """Gives a model the trainable weights of a checkpoint that fit it.

    A weight fits where its place in the model and its shape are the same. The
    optimizer and random generators stay as they are, and so do weights that are not
    trained: they hold the features of the dataset.

    Args:
        model: A built model.
        path: A checkpoint, of this or of another model.

    Returns:
        Which weights were taken over, which are new and which were left.

    Raises:
        CheckpointError: The file is missing or damaged, or no weight of it fits.
    """
    checkpoint.load_state(path)
    fixed = [(variable, variable.numpy()) for variable in model.non_trainable_variables]
    with tempfile.TemporaryDirectory() as folder:
        # The places are Keras' own, which only its files tell.
        merged = Path(folder) / "merged.weights.h5"
        model.save_weights(merged)
        with h5py.File(merged, "r+") as own, h5py.File(path, "r") as other:
            transfer = _merge(own, other)
        if not transfer.taken:
            raise checkpoint.CheckpointError(
                f"--init_from: no weight of {path} has the place and shape of one of "
                "this model; start from a run of a like model"
            )
        model.load_weights(merged)
    for variable, value in fixed:
        variable.assign(value)
    return transfer


def _merge(own, other):
    shapes, others = _shapes(own), _shapes(other)
    taken = [place for place, shape in shapes.items() if others.get(place) == shape]
    for place in taken:
        own[place][...] = other[place][()]
    return Transfer(
        tuple(taken),
        tuple(place for place in shapes if place not in taken),
        tuple(place for place in others if place not in taken),
    )


def _shapes(file):
    """{place: shape} of a file's weights, without the optimizer's."""
    found = {}

    def add(place, entry):
        is_weight = "/vars/" in f"/{place}" and not place.startswith(_OPTIMIZER)
        if isinstance(entry, h5py.Dataset) and is_weight:
            found[place] = entry.shape

    file.visititems(add)
    return found


def _by_layer(places):
    """Like ": item_encoder (3), mmoe (12)": the model's parts and their weights."""
    counts: dict[str, int] = {}
    for place in places:
        part = place.partition("/")[0]
        counts[part] = counts.get(part, 0) + 1
    names = ", ".join(f"{name} ({number})" for name, number in counts.items())
    return f": {names}" if names else ""
