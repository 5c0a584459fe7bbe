"""Writes a model as a SavedModel that ranks candidates from dense ids."""

import os

import keras
import tensorflow as tf

from sar_tf.data.pipeline import BatchPipeline
from sar_tf.files import whole_folder
from sar_tf.models import Model
from sar_tf.spec import axis_sizes, inputs_of

# Inputs that a request does not have.
_NOT_ASKED_FOR = ("history_row", "is_target")


def export(
    model: Model, path: str | os.PathLike, data: BatchPipeline | None = None
) -> None:
    """Writes a SavedModel with one signature for each task: rank_rec, rank_search.

    A signature takes the inputs of `input_signature` by name and returns "scores"
    `(B, C)`, the click probability of each candidate. The SavedModel loads with
    TensorFlow alone. It appears when it is complete, and replaces an older one.

    Args:
        model: The model.
        path: The folder. TensorFlow Serving needs a version number as its name.
        data: The data whose dense ids the callers will send, to be checked.

    Raises:
        ValueError: The data is not of the sizes that the model is made for.
    """
    if data is not None and data.spec != model.spec:
        raise ValueError(
            f"the model is made for other data than {data.dataset.dataset_dir}: it has "
            f"{model.spec}, the data {data.spec}"
        )
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
