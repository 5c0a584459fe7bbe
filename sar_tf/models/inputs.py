"""The parts of a batch that a model reads."""

from collections.abc import Collection, Mapping
from typing import Any

from keras import ops

from sar_tf.inputs import INPUTS, ROW_PARTS, Input
from sar_tf.models.ids import known_ids
from sar_tf.needs import inputs_of, reads_history
from sar_tf.spec import DataSpec

# What a model needs that reads both histories in the order of time.
MIXED_HISTORY = (
    "rec_items",
    "rec_positions",
    "search_words",
    "clicked_items",
    "search_mask",
    "search_positions",
)
SESSIONS = ("rec_sessions", "search_sessions")


def select(
    batch: Mapping[str, Mapping[str, Any]],
    spec: DataSpec,
    needs: Collection[str],
    tasks: Collection[str],
) -> dict[str, dict[str, Any]]:
    """The inputs that a model needs, with ids that it knows.

    Args:
        batch: As `sar_tf.inputs` describes it.
        spec: Sizes of the dataset.
        needs, tasks: Those of the model.
    """
    selected = {}
    if reads_history(needs):
        wanted = inputs_of(("history", "groups"), needs)
        selected["history"] = _pick(spec, batch["history"], wanted)
    for task in tasks:
        if task in batch:
            wanted = inputs_of((*ROW_PARTS, "draw"), needs, task)
            selected[task] = _pick(spec, batch[task], wanted)
    return selected


def of_task(task: str, batch: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a batch that one task reads."""
    return {name: batch[name] for name in ("history", task) if name in batch}


def row_inputs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a task's inputs that have a row for each target."""
    return {name: x for name, x in inputs.items() if INPUTS[name].part in ROW_PARTS}


def target_rows(ids: Mapping[str, Any], candidates: Any) -> Any:
    """Which rows are targets, and not only fill up a batch: bool `(B,)`.

    Args:
        ids: The inputs of a task's rows; where they do not say, all rows are.
        candidates: `(B, C, D)`.
    """
    return ids.get("is_target", ops.ones_like(candidates[:, 0, 0], dtype="bool"))


def counted(is_target: Any, x: Any) -> Any:
    """Which candidates count in the statistics of a batch: bool `(B, C)`.

    Args:
        is_target: bool `(B,)`.
        x: `(B, C, D)`.
    """
    return ops.broadcast_to(is_target[:, None], ops.shape(x)[:2])


def chosen_tasks(model: Any, tasks: Collection[str] | None) -> tuple[str, ...]:
    """The tasks that a model is made for, in the order of its class.

    Args:
        model: The model's class.
        tasks: Those that were asked for; None is all of the class.

    Raises:
        ValueError: The class has no such task, or none was asked for.
    """
    if tasks is None:
        return model.tasks
    unknown = sorted(set(tasks) - set(model.tasks))
    if unknown or not tasks:
        raise ValueError(
            f"tasks must be of {', '.join(model.tasks)} for {model.__name__}, "
            f"not {', '.join(tasks) or 'none'}"
        )
    return tuple(task for task in model.tasks if task in tasks)


def _pick(
    spec: DataSpec, arrays: Mapping[str, Any], wanted: Collection[Input]
) -> dict[str, Any]:
    return {
        entry.name: known_ids(spec, entry.name, arrays[entry.name])
        for entry in wanted
        if entry.name in arrays
    }
