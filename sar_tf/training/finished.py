"""A run that is there: opened, checked, and evaluated again."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sar_tf.data.pipeline import BatchPipeline
from sar_tf.metrics.ranks import metrics_by_task
from sar_tf.models import Model
from sar_tf.models.task_copies import TaskCopies
from sar_tf.paths import as_path
from sar_tf.training import checkpoint
from sar_tf.training.baselines import load_baselines
from sar_tf.training.build import fit_pipeline
from sar_tf.training.config import ConfigError, RunConfig
from sar_tf.training.copies import (
    copied_tasks,
    copy_config,
    copy_folder,
    join_metrics,
    join_ranks,
)
from sar_tf.training.evaluation import rank_targets
from sar_tf.training.files import exhaustion_named
from sar_tf.training.prepare import prepared
from sar_tf.training.run_directory import RunDirectory
from sar_tf.training.strategy import Workers, make_strategy

SPLITS = ("validation", "test")
# What may change when a run is resumed: where and how, not what is computed.
_CHANGEABLE = {
    "checkpoint_minutes",
    "dataset_dir",
    "epochs",
    "evaluation_batch_size",
    "init_from",
    "steps_per_execution",
    "strategy",
    "tpu",
    "train_on",
}


def evaluate_run(run_dir: str | Path, **changes: Any) -> dict[str, Any]:
    """Evaluates the best epoch of a run again; writes metrics.json and ranks/.

    The dataset of another folder, NAME, has files of its own: metrics.NAME.json and
    ranks.NAME/.

    Args:
        run_dir: The run's folder.
        changes: Settings of `RunConfig` that differ from the run's: another
            dataset_dir, strategy, … Those that change what the model computes are
            refused, as when a run is resumed.

    Returns:
        As `run`.

    Raises:
        RunDirectoryError: The folder holds no run.
        CheckpointError: The best checkpoint is missing, damaged or does not fit.
        ConfigError, DatasetError, …: As `run`.
    """
    folder = RunDirectory(run_dir)
    config = opened_config(folder, changes)
    other = name_of_other(folder, config)
    if tasks := copied_tasks(config):
        epoch = checkpoint.load_state(folder.best)["epoch"]
        found = {
            task: evaluate_run(path, **fields)
            for task, path, fields in copies_of(folder, config, tasks)
        }
        is_chief = Workers(make_strategy(config.strategy, config.tpu)).is_chief
        return write_joined(folder, found, epoch, is_chief, other)
    with exhaustion_named(folder.path), prepared(config) as (model, pipeline):
        return evaluate_best(model, pipeline, folder, other)


def load_run(
    run_dir: str | Path, served: bool = False, **changes: Any
) -> tuple[Model, BatchPipeline]:
    """Opens a run: the best epoch's model and its data, on one device.

    Args:
        run_dir: The run's folder.
        served: Whether to open the model that is served: with train_on=all the one
            that was trained on the targets of all splits.
        changes: Settings of `RunConfig` that differ from the run's, as in
            `evaluate_run`.

    Returns:
        model, compiled, and the `BatchPipeline` that it was trained with. Of a model
        that was trained in two stages, the copies as one model, `TaskCopies`.

    Raises:
        RunDirectoryError: The folder holds no run.
        CheckpointError: The best checkpoint is missing, damaged or does not fit.
        ConfigError, DatasetError, …: As `run`.

    Example:

        model, data = load_run("runs/beauty")
        model.evaluate(data.test(), return_dict=True)
    """
    folder = RunDirectory(run_dir)
    config = opened_config(folder, {"strategy": "one_device", **changes})
    tasks = copied_tasks(config)
    if not tasks:
        return load_stage(folder, served, **changes)
    models = {}
    for task, path, fields in copies_of(folder, config, tasks):
        models[task], pipeline = load_run(path, served, **fields)
    model = TaskCopies(models)
    model.compile("sgd")  # To be evaluated; each copy has its own optimizer.
    model.optimizer.build(model.trainable_variables)
    return model, fit_pipeline(pipeline, model)


def load_stage(
    folder: RunDirectory, served: bool = False, **changes: Any
) -> tuple[Model, BatchPipeline]:
    """As `load_run`, but of a run of two stages the model of the first one."""
    config = opened_config(folder, {"strategy": "one_device", **changes})
    is_of_all = served and config.train_on == "all"
    with prepared(config) as (model, pipeline):
        checkpoint.load(folder_of_all(folder).best if is_of_all else folder.best, model)
    return model, pipeline


def copies_of(
    folder: RunDirectory, config: RunConfig, tasks: tuple[str, ...]
) -> list[tuple[str, Path, dict[str, Any]]]:
    """Of each copy of a run: its task, its folder and its settings.

    Args:
        folder, config: The run's.
        tasks: The tasks that have copies.
    """
    found = []
    for task in tasks:
        own = copy_config(config, folder, task)
        fields = {f.name: getattr(own, f.name) for f in dataclasses.fields(own)}
        found.append((task, copy_folder(folder, task).path, fields))
    return found


def write_joined(
    folder: RunDirectory,
    found: Mapping[str, Mapping[str, Any]],
    epoch: int,
    is_chief: bool,
    other: str = "",
) -> dict[str, Any]:
    """Returns a run's metrics from those of its copies; the chief writes them.

    Args:
        folder: The run's folder.
        found: {task: what the evaluation of its copy returned}.
        epoch: The best epoch of the first stage.
        is_chief: Whether this worker writes metrics.json and ranks/.
        other: Name of the dataset's folder where it is not the run's own.
    """
    metrics = join_metrics(found, epoch)
    if is_chief:
        for split in SPLITS:
            parts = [copy_folder(folder, task) for task in found]
            join_ranks(folder, parts, split, other)
        folder.write_metrics(metrics, other)
    return metrics


def evaluate_best(
    model: Model, pipeline: BatchPipeline, folder: RunDirectory, other: str = ""
) -> dict[str, Any]:
    """Restores the best epoch; writes and returns its metrics.

    Args:
        model, pipeline: As `prepared` gives them.
        folder: The run's folder.
        other: Name of the dataset's folder where it is not the run's own.

    Raises:
        CheckpointError: The best checkpoint is missing, damaged or does not fit.
    """
    epoch = checkpoint.load(folder.best, model)["epoch"]
    is_chief = Workers(model.distribute_strategy).is_chief
    metrics: dict[str, Any] = {}
    for split, ranks in rank_targets(model, pipeline, SPLITS).items():
        metrics[split] = metrics_by_task(ranks)
        if is_chief:
            folder.write_ranks(split, ranks, other)
    metrics["epoch"] = epoch
    with Workers(model.distribute_strategy).chief_first():
        baselines = load_baselines(pipeline.dataset)
    metrics["baselines"] = {
        ranker: {task: by_split["test"][task] for task in model.tasks}
        for ranker, by_split in baselines.items()
    }
    if is_chief:
        folder.write_metrics(metrics, other)
    return metrics


def check_folder(config: RunConfig, folder: RunDirectory, resume: bool) -> None:
    """Checks that a run can be started or resumed in a folder.

    Raises:
        RunDirectoryError: The folder holds a run, or none to be resumed.
        ConfigError: A setting is not the resumed run's.
    """
    if not resume:
        folder.require_free()
        return
    # A run from before a hyperparameter was added has its default.
    changed = set(folder.load_config().check().changed(config))
    refused = changed - _CHANGEABLE
    if config.schedule != "plateau":
        # Its length is the course of the learning rate.
        refused |= changed & {"epochs"}
    _refuse(refused, folder)


def name_of_other(folder: RunDirectory, config: RunConfig) -> str:
    """The name of the folder of a dataset that is not the run's own; else ""."""
    is_same = config.dataset_dir == folder.load_config().dataset_dir
    return "" if is_same else as_path(config.require_dataset_dir()).name


def opened_config(folder: RunDirectory, changes: Mapping[str, Any]) -> RunConfig:
    """The run's settings with some of others, to evaluate or export it.

    Raises:
        RunDirectoryError: The folder holds no run.
        ConfigError: A setting is not the run's.
    """
    kept = folder.load_config().check()
    config = dataclasses.replace(kept, **changes)
    if config.strategy != "tpu":
        config = dataclasses.replace(config, tpu="")
    config = with_absolute_paths(config).check()
    _refuse(set(kept.changed(config)) - _CHANGEABLE, folder)
    return config


def _refuse(changed, folder):
    if changed:
        raise ConfigError(
            f"{min(changed)} is not what the run was started with (see "
            f"{folder.config}); leave it out, or start a run in another folder"
        )


def with_absolute_paths(config: RunConfig) -> RunConfig:
    """The config with paths that hold in every folder."""
    paths: dict[str, Any] = {
        name: str(as_path(value).resolve())
        for name in ("dataset_dir", "init_from")
        if (value := getattr(config, name)) is not None
    }
    return dataclasses.replace(config, **paths)


def folder_of_all(folder: RunDirectory) -> RunDirectory:
    """The folder of the run's training on the targets of all splits."""
    return RunDirectory(folder.all)
