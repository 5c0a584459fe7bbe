"""Writes a model as a SavedModel that ranks candidates from dense ids."""

import dataclasses
import json
import os

import keras
import tensorflow as tf

from sar_tf.data.pipeline import BatchPipeline
from sar_tf.files import whole_folder
from sar_tf.models import Model
from sar_tf.spec import axis_sizes, inputs_of

# Inputs that a request does not have.
_NOT_ASKED_FOR = ("history_row", "is_target")
# Where SavedModels keep what TensorFlow does not read.
DATASET_FILE = "assets.extra/dataset.json"


def export(
    model: Model, path: str | os.PathLike, data: BatchPipeline | None = None
) -> None:
    """Writes a SavedModel with one signature for each task: rank_rec, rank_search.

    A signature takes the inputs of `input_signature` by name and returns "scores"
    `(B, C)`, the click probability of each candidate. The SavedModel loads with
    TensorFlow alone. It appears when it is complete, and replaces an older one. Its
    `assets.extra/dataset.json` names the dataset whose dense ids it takes, which
    `load_saved_model` checks.

    An id that is negative or above the highest one is read as 0, padding or unknown,
    on every device.

    Args:
        model: The model.
        path: The folder. TensorFlow Serving needs a version number as its name.
        data: The data whose dense ids the callers will send, to be checked; with it
            the SavedModel has the checksums of the vocabularies and tables, too.

    Raises:
        ValueError: The data has other sizes or ids than the model is made for.
    """
    if data is not None:
        _require_same_data(model, data)
    archive = keras.export.ExportArchive()
    archive.track(model)
    for task in model.tasks:
        archive.add_endpoint(
            f"rank_{task}",
            _ranker(model, task),
            input_signature=[input_signature(task, model)],
        )
    with whole_folder(path, replace=True) as beside:
        archive.write_out(beside, verbose=False)
        dataset_file = beside / DATASET_FILE
        dataset_file.parent.mkdir()
        dataset_file.write_text(_describe_dataset(model, data), encoding="utf-8")


def _require_same_data(model, data):
    folder = data.dataset.dataset_dir
    known = model.spec.fingerprint
    if dataclasses.replace(data.spec, fingerprint=known) != model.spec:
        raise ValueError(
            f"the model is made for other data than {folder}: it has {model.spec}, the "
            f"data {data.spec}"
        )
    if known not in ("", data.spec.fingerprint):
        raise ValueError(
            f"the model is made for another dataset than {folder}: ids of this one "
            "stand for other users, items or words; export it with its own dataset"
        )


def _describe_dataset(model, data):
    """The JSON of the dataset's fingerprint and of its tables' checksums."""
    tables = {} if data is None else data.dataset.table_checksums()
    known = {"fingerprint": model.spec.fingerprint, "tables": tables}
    return json.dumps(known, indent=2) + "\n"


def input_signature(task: str, model: Model) -> dict[str, tf.TensorSpec]:
    """Names, shapes and types of a signature's inputs.

    `sar_tf.spec.INPUTS` explains them. Row i of a history belongs to target i. A
    history has as many slots as in training, oldest first; empty slots are 0 and
    come last.

    Args:
        task: "rec" or "search".
        model: The model.
    """
    sizes = axis_sizes(model.spec)
    wanted = [
        *inputs_of(("row",), model.needs, task),
        *inputs_of(("history",), model.needs),
    ]
    return {
        entry.name: tf.TensorSpec(
            [sizes.get(axis) for axis in entry.axes], entry.dtype, entry.name
        )
        for entry in wanted
        if entry.name not in _NOT_ASKED_FOR
    }


def _ranker(model, task):
    of_history = [entry.name for entry in inputs_of(("history",), model.needs)]

    def rank(features):
        history = {name: features[name] for name in of_history}
        inputs = {n: x for n, x in features.items() if n not in history}
        inputs["history_row"] = tf.range(tf.shape(features["candidates"])[0])
        return {"scores": model.score(task, {"history": history, task: inputs})}

    return rank
