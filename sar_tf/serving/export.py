"""Writes a model as a SavedModel that ranks candidates from dense ids."""

import os

import keras
import tensorflow as tf

from sar_tf.data.pipeline import BatchPipeline
from sar_tf.files import whole_folder
from sar_tf.models import Model
from sar_tf.spec import axis_sizes, inputs_of

# What the rows of one request share, or all have, is not asked for.
_NOT_ASKED_FOR = ("history_row", "is_target")


def export(
    model: Model, path: str | os.PathLike, data: BatchPipeline | None = None
) -> None:
    """Writes a SavedModel with one signature a task: rank_rec, rank_search.

    A signature takes what `input_signature` lists, by name, and returns "scores"
    (B, C): the probability of a click on each candidate. The SavedModel needs only
    TensorFlow to load. It appears when complete; one that is there already is replaced.

    Args:
        model: The model.
        path: The folder, by TensorFlow Serving's rule named by a version number.
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
    """Names, shapes and types of a signature's inputs: what the model needs.

    `sar_tf.spec.INPUTS` tells their meanings. A row of a history is that of the same
    row's target; its slots are as many as the model was trained with, oldest first,
    empty ones 0 and last.

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
