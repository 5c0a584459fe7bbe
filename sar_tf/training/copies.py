"""The second stage of a run: a copy of the model for each task, a run of its own."""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sar_tf import models
from sar_tf.files import write_text
from sar_tf.models.fine_tuned import FineTuned
from sar_tf.training.config import RunConfig
from sar_tf.training.run_directory import RunDirectory

_ABOUT = "started_from.json"
_RATE = "fine_tuning_rate"


def copied_tasks(config: RunConfig) -> tuple[str, ...]:
    """The tasks that have a copy of the model each; none where there is one stage.

    Args:
        config: The checked settings of a run.
    """
    cls = models.get(config.model)
    if not issubclass(cls, FineTuned) or not config.hyperparameters[_RATE]:
        return ()
    tasks = config.hyperparameters["tasks"] or cls.tasks
    return tuple(tasks) if len(tasks) > 1 else ()


def copy_config(config: RunConfig, folder: RunDirectory, task: str) -> RunConfig:
    """The settings of a task's copy, a run that starts from the first stage.

    Args:
        config: The run's settings.
        folder: The run's folder.
        task: The task.
    """
    rate = config.learning_rate * config.hyperparameters[_RATE]
    return dataclasses.replace(
        config,
        init_from=str(folder.path.resolve()),
        learning_rate=rate,
        min_learning_rate=min(config.min_learning_rate, rate),
        hyperparameters={**config.hyperparameters, "tasks": (task,)},
    ).check()


def copy_folder(folder: RunDirectory, task: str) -> RunDirectory:
    """The folder of a task's copy."""
    return RunDirectory(folder.copies / task)


def begin_copies(folder: RunDirectory) -> None:
    """Removes copies that started from another first stage than there is now.

    A first stage that is resumed with more epochs may have another best one.

    Args:
        folder: The run's folder, whose first stage is complete.
    """
    digest = hashlib.sha256(folder.best.read_bytes()).hexdigest()
    text = json.dumps({folder.best.name: digest}, indent=2) + "\n"
    path = folder.copies / _ABOUT
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    if folder.copies.exists():
        shutil.rmtree(folder.copies)
    folder.copies.mkdir()
    write_text(path, text)


def join_metrics(found: Mapping[str, Mapping[str, Any]], epoch: int) -> dict[str, Any]:
    """The metrics of a run from those of its copies.

    Args:
        found: {task: what the evaluation of its copy returned}.
        epoch: The best epoch of the first stage.
    """
    metrics: dict[str, Any] = {
        split: {task: own[split][task] for task, own in found.items()}
        for split in ("validation", "test")
    }
    rankers = next(iter(found.values()))["baselines"]
    return {
        **metrics,
        "epoch": epoch,
        "copy_epochs": {task: own["epoch"] for task, own in found.items()},
        "baselines": {
            ranker: {
                task: own["baselines"][ranker][task] for task, own in found.items()
            }
            for ranker in rankers
        },
    }


def join_ranks(
    folder: RunDirectory, parts: Iterable[RunDirectory], split: str, other: str = ""
) -> None:
    """Writes the ranks of a split from those of parts, one part after another.

    Args:
        folder: The folder that gets them.
        parts: The folders that have a task's ranks each.
        split: The split.
        other: As in `RunDirectory.write_ranks`.
    """
    found = []
    for part in parts:
        with np.load(part.ranks(other) / f"{split}.npz") as ranks:
            found.append(dict(ranks))
    joined = {name: np.concatenate([own[name] for own in found]) for name in found[0]}
    folder.write_ranks(split, joined, other)
