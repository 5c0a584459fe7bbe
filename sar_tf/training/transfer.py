"""Starts a model from the weights of another run."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras

from sar_tf.data.dataset import SequenceDataset
from sar_tf.training.rows import RowMap, map_rows, vocabulary_of


@dataclasses.dataclass(frozen=True)
class Transfer:
    """What became of the weights of two models, by their places in the models.

    A place is made of attributes, like "item_encoder/id_embedding/embeddings".

    Attributes:
        taken: Weights that were taken over.
        new: Weights of the model that the other one does not have.
        left: Weights of the other model that were not taken over.
        rows: Of models of two datasets: the rows of tables that were taken over, by
            vocabulary.
    """

    taken: tuple[str, ...]
    new: tuple[str, ...]
    left: tuple[str, ...]
    rows: Mapping[str, RowMap] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        lines = [
            f"{name} {len(places)}{_by_part(places)}"
            for name in ("taken", "new", "left")
            for places in (getattr(self, name),)
        ]
        return "\n".join(
            lines + [f"{name}: {rows}" for name, rows in self.rows.items()]
        )


def take_weights(
    model: keras.Model,
    other: keras.Model,
    dataset: SequenceDataset | None = None,
    other_dataset: SequenceDataset | None = None,
) -> Transfer:
    """Gives a model the trainable weights of another one that fit it.

    A weight fits where its place in the model and its shape are the same. Weights
    that are not trained stay as they are: they hold the features of the dataset.

    Rows of tables of ids are the same where the datasets have the same fingerprint. Of
    different datasets, the rows of raw ids that both have are taken one by one. The
    rows of the others stay as they are, new.

    Args:
        model: A built model.
        other: The model whose weights are taken.
        dataset, other_dataset: The datasets of their ids; None where it is one.

    Returns:
        Which weights were taken over, which are new and which were left.

    Raises:
        ValueError: No weight fits.
    """
    own, others = weights_by_place(model), weights_by_place(other)
    rows: dict[str, RowMap] = {}
    taken = []
    datasets = None
    if dataset is not None and other_dataset is not None:
        is_one = dataset.fingerprint == other_dataset.fingerprint
        datasets = None if is_one else (dataset, other_dataset)
    for place, variable in own.items():
        if place not in others:
            continue
        source = others[place]
        name = vocabulary_of(place, model.spec) if datasets else None
        if datasets is not None and name is not None:
            if name not in rows:
                rows[name] = map_rows(name, *datasets)
            if not rows[name].fits(variable.shape, source.shape):
                continue
            values = keras.ops.convert_to_numpy(variable).copy()
            values[rows[name].own] = keras.ops.convert_to_numpy(source)[
                rows[name].other
            ]
            variable.assign(values)
        elif source.shape == variable.shape:
            variable.assign(keras.ops.convert_to_numpy(source))
        else:
            continue
        taken.append(place)
    if not taken:
        raise ValueError(
            f"no weight of a {type(other).__name__} has the place and shape of one of "
            f"this {type(model).__name__}"
        )
    return Transfer(
        tuple(taken),
        tuple(place for place in own if place not in taken),
        tuple(place for place in others if place not in taken),
        rows,
    )


def weights_by_place(model: keras.Model) -> dict[str, keras.Variable]:
    """The trainable weights of a model by the attributes that lead to them.

    Names of layers and variables do not tell them: Keras numbers each name that a
    process uses again.
    """
    found: dict[int, tuple[str, keras.Variable]] = {}
    _add_weights(model, "", found, set())
    return {place: variable for place, variable in found.values()}


def _add_weights(owner: Any, place: str, found: dict, seen: set) -> None:
    if id(owner) in seen:
        return
    seen.add(id(owner))
    for name, part in _parts(owner):
        _add_weights(part, f"{place}{name}/", found, seen)
    if isinstance(owner, keras.Layer):
        # What is left is the layer's own.
        for variable in owner.trainable_variables:
            found.setdefault(id(variable), (f"{place}{variable.name}", variable))


def _parts(owner: Any) -> list[tuple[str, Any]]:
    """The layers of a layer, a list or a dict, and lists and dicts in it, by name."""
    if isinstance(owner, Mapping):
        named = [(str(name), x) for name, x in owner.items()]
    elif isinstance(owner, list | tuple):
        named = [(str(index), x) for index, x in enumerate(owner)]
    else:
        # Keras' own attributes list all layers once more.
        named = [(n, x) for n, x in vars(owner).items() if not n.startswith("_")]
    kinds = (keras.Layer, Mapping, list, tuple)
    found = [(name, x) for name, x in named if isinstance(x, kinds)]
    return sorted(found, key=lambda named: named[0])


def _by_part(places: tuple[str, ...]) -> str:
    """Like ": item_encoder (3), mmoe (12)": the model's parts and their weights."""
    counts: dict[str, int] = {}
    for place in places:
        part = place.partition("/")[0]
        counts[part] = counts.get(part, 0) + 1
    names = ", ".join(f"{name} ({number})" for name, number in counts.items())
    return f": {names}" if names else ""
