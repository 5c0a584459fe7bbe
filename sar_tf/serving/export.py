"""Writes a model as a SavedModel that ranks candidates."""

import contextlib
import dataclasses
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from sar_tf.data.pipeline import BatchPipeline
from sar_tf.files import whole_folder
from sar_tf.models import Model
from sar_tf.models.catalogue import (
    NUM_RANKED,
    can_retrieve,
    of_all_items,
    scores_are_products,
)
from sar_tf.needs import inputs_of
from sar_tf.serving.constants import with_constants
from sar_tf.serving.raw_inputs import (
    CANDIDATES,
    EXCLUDED,
    NUMBER,
    raw_inputs,
    vocabulary_names,
)
from sar_tf.serving.raw_reader import RawReader
from sar_tf.serving.retrieve import Catalogue
from sar_tf.serving.vocabularies import Vocabularies
from sar_tf.serving.warmup import WARMUP_FILE, write_warmup
from sar_tf.spec import axis_sizes

# Inputs that a request does not have.
_NOT_ASKED_FOR = ("history_row", "is_target")
# Where SavedModels keep what TensorFlow does not read.
DATASET_FILE = "assets.extra/dataset.json"


def export(
    model: Model,
    path: str | os.PathLike,
    data: BatchPipeline | None = None,
    num_ranked: int = NUM_RANKED,
) -> None:
    """Writes a SavedModel; `sar_tf/serving/README.md` describes its signatures.

    For each task `rank_<task>` takes raw ids and texts (`raw_signature`) and
    `rank_<task>_dense` the inputs of the model (`dense_signature`), by name. Both
    return "scores" `(B, C)`, the click probability of each candidate. For models of dot
    products or with a retrieval head `retrieve_<task>` returns the best "items" of the
    catalogue and their "scores" `(B, k)` for raw ids (`retrieval_signature`).

    The SavedModel loads with TensorFlow alone. It appears when it is complete, and
    replaces an older one. Its `assets.extra/dataset.json` names the dataset whose ids
    it takes, which `load_saved_model` checks.

    A dense id that is negative or above the highest one is read as 0, padding or
    unknown, on every device.

    Args:
        model: The model.
        path: The folder. TensorFlow Serving needs a version number as its name.
        data: The data that the model was trained with. Without it there are no
            vocabularies, and thus no signatures of raw ids.
        num_ranked: Items that a retrieval head finds, for the model to rank.

    Raises:
        ValueError: The data has other sizes or ids than the model is made for.
    """
    if data is not None:
        _require_same_data(model, data)
    with (
        _servable(model, data, num_ranked) as (servable, signatures),
        whole_folder(path, replace=True) as beside,
    ):
        tf.saved_model.save(servable, os.fspath(beside), signatures)
        (beside / WARMUP_FILE).parent.mkdir()
        write_warmup(
            beside / WARMUP_FILE,
            {n: f.structured_input_signature[0][0] for n, f in signatures.items()},
        )
        dataset_file = beside / DATASET_FILE
        dataset_file.write_text(_describe_dataset(model, data), encoding="utf-8")


@contextlib.contextmanager
def _servable(
    model: Model, data: BatchPipeline | None, num_ranked: int
) -> Iterator[tuple[tf.Module, dict[str, Any]]]:
    """What is saved: an object with all variables and tables, and the signatures."""
    servable = tf.Module()
    constants, variables = with_constants(model)
    servable.variables_of_model = [variable.value for variable in variables]
    # One model of all tasks, or a copy for each.
    models = {task: model.for_task(task) for task in model.tasks}
    distinct = {id(own): own for own in models.values()}
    with contextlib.ExitStack() as stack:
        servable.item_tables = [
            stack.enter_context(_looked_up_items(own)) for own in distinct.values()
        ]
        rankers = {
            task: _traced(
                _dense_ranker(own, task, constants), dense_signature(task, own)
            )
            for task, own in models.items()
        }
        signatures = {f"rank_{task}_dense": ranker for task, ranker in rankers.items()}
        if data is not None:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            names = vocabulary_names(model.needs)
            servable.vocabularies = Vocabularies(
                data.dataset, model.spec, names, folder
            )
            catalogues = {
                key: Catalogue(own)
                for key, own in distinct.items()
                if can_retrieve(own)
            }
            servable.catalogues = list(catalogues.values())
            for task, own in models.items():
                reader = RawReader(model.spec, own.needs, servable.vocabularies)
                signatures[f"rank_{task}"] = _traced(
                    _raw_ranker(rankers[task], task, reader), raw_signature(task, own)
                )
                if id(own) not in catalogues:
                    continue
                retrieve = _retriever(
                    own,
                    task,
                    reader,
                    catalogues[id(own)],
                    rankers[task],
                    num_ranked,
                    constants,
                )
                signatures[f"retrieve_{task}"] = _traced(
                    retrieve, retrieval_signature(task, own)
                )
        yield servable, signatures


@contextlib.contextmanager
def _looked_up_items(model):
    """Inside, a request costs a look-up an item, and no item encoder.

    Yields:
        The table that items are looked up in; None where the model has no encoder.
    """
    if model.item_encoder is None:
        yield None
        return
    table = tf.Variable(of_all_items(model, model.encode_items), trainable=False)
    with model.items_from(table):
        yield table


def _traced(function: Callable[[dict], dict], inputs: dict[str, tf.TensorSpec]) -> Any:
    """The concrete function of named inputs."""
    return tf.function(function).get_concrete_function(inputs)


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


def dense_signature(task: str, model: Model) -> dict[str, tf.TensorSpec]:
    """The inputs of `rank_<task>_dense`.

    `sar_tf.inputs.INPUTS` explains them. Row i of a history belongs to target i. A
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
        if entry.name not in _NOT_ASKED_FOR and not entry.of_training
    }


def raw_signature(task: str, model: Model) -> dict[str, tf.TensorSpec]:
    """The inputs of `rank_<task>`, which `raw_inputs.RAW_INPUTS` explains.

    Args:
        task: "rec" or "search".
        model: The model.
    """
    return _specs(*raw_inputs(task, model.needs), CANDIDATES)


def retrieval_signature(task: str, model: Model) -> dict[str, tf.TensorSpec]:
    """The inputs of `retrieve_<task>`, which `raw_inputs.RAW_INPUTS` explains.

    Args:
        task: "rec" or "search".
        model: The model.
    """
    return _specs(*raw_inputs(task, model.needs), EXCLUDED, NUMBER)


def _specs(*entries):
    return {
        entry.name: tf.TensorSpec([None] * len(entry.axes), entry.dtype, entry.name)
        for entry in entries
    }


def _dense_ranker(model, task, constants):
    of_history = {entry.name for entry in inputs_of(("history",), model.needs)}

    def rank(features):
        history = {n: x for n, x in features.items() if n in of_history}
        inputs = {n: x for n, x in features.items() if n not in history}
        with constants():
            return {"scores": model.score(task, {"history": history, task: inputs})}

    return rank


def _raw_ranker(ranker, task, reader):
    def rank(request):
        return ranker(_inputs_of(reader.batch(task, request), task))

    return rank


def _inputs_of(batch, task):
    """A batch as a dense signature takes it."""
    inputs = {**batch[task], **batch.get("history", {})}
    return {n: x for n, x in inputs.items() if n not in _NOT_ASKED_FOR}


def _retriever(model, task, reader, catalogue, ranker, num_ranked, constants):
    def retrieve(request):
        request = dict(request)
        k = request.pop("k")
        batch = reader.batch(task, request)
        excluded = batch[task].pop("excluded_items")
        with constants():
            vectors = tf.cast(model.target_vectors(task, batch), tf.float32)
        best = catalogue.best
        if scores_are_products(model):
            items, scores = best(vectors, k, excluded)
        else:
            items, _ = best(vectors, tf.maximum(k, num_ranked), excluded)
            batch[task]["candidates"] = items
            scores = ranker(_inputs_of(batch, task))["scores"]
            # Places without an item come last.
            scores = tf.where(items > 0, scores, -1.0)
            scores, place = tf.math.top_k(scores, tf.minimum(k, tf.shape(items)[1]))
            items = tf.gather(items, place, batch_dims=1)
            scores = tf.maximum(scores, 0.0)
        return {"items": reader.raw_items(items), "scores": scores}

    return retrieve
