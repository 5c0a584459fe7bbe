"""Scores of all items of the catalogue, without encoding a history or an item twice.

A target's rows are prepared once; then any number of items is scored by chunks.
"""

from collections.abc import Callable, Mapping
from typing import Any

from keras import ops

from sar_tf.inputs import INPUTS
from sar_tf.models.base import Model
from sar_tf.models.dot_product import DotProductModel
from sar_tf.models.groups import take_rows
from sar_tf.models.inputs import of_task, select

NUM_RANKED = 500  # Items that a retrieval head finds, for the model to rank.
_ITEMS_TOGETHER = 1 << 14  # Items that are encoded by one call.


def can_retrieve(model: Model) -> bool:
    """Whether a model has vectors of targets and items."""
    return scores_are_products(model) or model.retrieval_head is not None


def scores_are_products(model: Model) -> bool:
    """Whether a model's score is the product of the vectors: no ranking is needed."""
    return (
        isinstance(model, DotProductModel)
        # A subclass may add to the product.
        and type(model).logits is DotProductModel.logits
        and type(model).read is DotProductModel.read
    )


def of_all_items(model: Model, encode: Callable[[Any], Any]) -> Any:
    """What a function of items gives for items 0, 1, …: `(num_items + 1, …)`."""
    end = model.spec.num_items + 1
    parts = [
        encode(ops.arange(start, min(start + _ITEMS_TOGETHER, end), dtype="int32"))
        for start in range(0, end, _ITEMS_TOGETHER)
    ]
    return ops.concatenate(parts, axis=0)


def prepare_targets(model: Model, task: str, batch: Mapping[str, Any]) -> Any:
    """What `score_items` needs to know of targets, without their candidates.

    Args:
        model: The model.
        task: The targets' task.
        batch: `{"history": …, task: …}` without groups; it may be without candidates.

    Returns:
        A structure of arrays `(B, ...)`.
    """
    # What was looked up for the batch's own candidates is not of these items.
    inputs = {
        name: x
        for name, x in batch[task].items()
        if not (INPUTS[name].of_training and "C" in INPUTS[name].axes)
    }
    # A model may ask for the ids of candidates, of which it reads none here.
    inputs["candidates"] = ops.zeros_like(inputs["history_row"])[:, None]
    batch = {**of_task(task, batch), task: inputs}
    batch = select(batch, model.spec, model.needs, model.tasks)
    target = {**model.encode_target(batch[task]), "ids": batch[task]}
    del target["candidates"]
    own = {}
    if "history" in batch:
        encoded = model.encode_history(batch["history"], training=False)
        own = take_rows(encoded, batch[task]["history_row"])
    return own, target


def score_items(model: Model, task: str, prepared: Any, vectors: Any) -> Any:
    """Scores of the same items for all targets, as `Model.score` gives them.

    Args:
        model: The model.
        task: The targets' task.
        prepared: What `prepare_targets` returned, of B targets.
        vectors: `(C, D)`, what `Model.encode_candidates` gives of the items.

    Returns:
        float32 `(B, C)`.
    """
    own, target = prepared
    candidates = vectors[None]
    if not model.shares_candidates:
        number = ops.shape(target["ids"]["history_row"])[0]
        candidates = ops.broadcast_to(candidates, (number, *ops.shape(vectors)))
    rows = model.read(task, own, {**target, "candidates": candidates}, training=False)
    logits = model.logits(task, rows, training=False)
    return ops.sigmoid(ops.cast(logits, "float32"))
