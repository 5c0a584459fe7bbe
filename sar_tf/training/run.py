"""A run as a function: trains a model and keeps everything about it in a folder."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.dataset_info import DatasetError
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.metrics.ranks import metrics_by_task
from sar_tf.models import Model
from sar_tf.paths import as_path
from sar_tf.training import checkpoint, loop, transfer
from sar_tf.training.baselines import load_baselines
from sar_tf.training.build import build_model, fit_pipeline
from sar_tf.training.compile import compile_model
from sar_tf.training.config import ConfigError, RunConfig
from sar_tf.training.evaluation import rank_targets
from sar_tf.training.files import full_disk_named
from sar_tf.training.run_directory import RunDirectory
from sar_tf.training.schedules import WarmupDecay
from sar_tf.training.strategy import Workers, make_strategy, num_workers

SPLITS = ("validation", "test")
_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
# What may change when a run is resumed: where and how, not what is computed.
_CHANGEABLE = {
    "checkpoint_minutes",
    "dataset_dir",
    "epochs",
    "evaluation_batch_size",
    "steps_per_execution",
    "strategy",
    "tpu",
}


def run(
    config: RunConfig,
    run_dir: str | Path,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    resume: bool = False,
    verbose: str = "epochs",
) -> dict[str, Any]:
    """Trains a model, and evaluates its best epoch on validation and test.

    All workers of a strategy call this; the chief writes the run folder, which
    `RunDirectory` describes.

    Args:
        config: The settings of the run.
        run_dir: The run's folder: new or empty, unless the run is resumed.
        callbacks: More Keras callbacks for training.
        resume: Whether to go on from the last checkpoint of the folder.
        verbose: "epochs" prints a line an epoch, "all" every number, "none" nothing.

    Returns:
        The content of metrics.json: "validation" and "test", {task: {"HR@1": value,
        …}}; "epoch", the best one; "baselines", the test metrics of other rankers.

    Raises:
        ConfigError: The settings contradict each other, or those of the resumed run.
        RunDirectoryError: The folder holds a run, or none to be resumed.
        DatasetError, ModelError, StrategyError: What a setting names cannot be had.
        CheckpointError: A checkpoint is damaged or of another model.
        TrainingError: The loss or a weight is not finite any more.
        WriteError: The disk is full or the folder cannot be written.

    Example:

        config = RunConfig(dataset_dir="data/beauty", hyperparameters={"dropout": 0.2})
        metrics = run(config, "runs/beauty")
    """
    config = _absolute(config).check()
    folder = RunDirectory(run_dir)
    if resume:
        _check_resumed(config, folder)
    else:
        folder.require_free()
    with contextlib.ExitStack() as stack:
        model, pipeline = stack.enter_context(_prepared(config))
        _require_targets(pipeline, ("train", *SPLITS))
        is_chief = Workers(model.distribute_strategy).is_chief
        stack.enter_context(folder.locked(is_chief))
        stack.enter_context(full_disk_named(folder.path))
        if is_chief and not resume:
            folder.require_free()  # Another run may have started meanwhile.
        if verbose != "none" and is_chief:
            print(_summary(config, model, pipeline), flush=True)
        if config.init_from and not resume:
            taken = _start_from(model, config.init_from)
            if verbose != "none" and is_chief:
                print(f"weights of {config.init_from}:\n{taken}", flush=True)
        if is_chief:
            folder.start(config)
        loop.fit(
            model,
            pipeline,
            folder,
            epochs=config.epochs,
            plateau=config.schedule == "plateau",
            plateau_factor=config.plateau_factor,
            plateau_patience=config.plateau_patience,
            min_learning_rate=config.min_learning_rate,
            early_stopping_patience=config.early_stopping_patience,
            checkpoint_minutes=config.checkpoint_minutes,
            resume=resume,
            verbose=verbose,
            more_callbacks=callbacks,
        )
        return _evaluate_best(model, pipeline, folder)


def evaluate_run(run_dir: str | Path, **changes: Any) -> dict[str, Any]:
    """Evaluates the best epoch of a run again; writes metrics.json and ranks/.

    Another dataset_dir than the run's has files of its own: metrics-NAME.json and
    ranks-NAME/, with the name of its folder.

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
    config = _config_to_open(folder, changes)
    known = folder.load_config().dataset_dir
    with _prepared(config) as (model, pipeline):
        _require_targets(pipeline, SPLITS)
        is_chief = Workers(model.distribute_strategy).is_chief
        with folder.locked(is_chief), full_disk_named(folder.path):
            if config.dataset_dir != known:
                folder = folder.of_dataset(config.dataset_dir)
            return _evaluate_best(model, pipeline, folder)


def load_run(run_dir: str | Path, **changes: Any) -> tuple[Model, BatchPipeline]:
    """Opens a run: the best epoch's model and its data, on one device.

    Args:
        run_dir: The run's folder.
        changes: Settings of `RunConfig` that differ from the run's, as in
            `evaluate_run`.

    Returns:
        model, compiled, and the `BatchPipeline` that it was trained with.

    Raises:
        RunDirectoryError: The folder holds no run.
        CheckpointError: The best checkpoint is missing, damaged or does not fit.
        ConfigError, DatasetError, …: As `run`.

    Example:

        model, data = load_run("runs/beauty")
        model.evaluate(data.test(), return_dict=True)
    """
    folder = RunDirectory(run_dir)
    config = _config_to_open(folder, {"strategy": "one_device", **changes})
    with _prepared(config) as (model, pipeline):
        checkpoint.load(folder.best, model)
    return model, pipeline


def make_pipeline(
    config: RunConfig,
    dataset: SequenceDataset,
    strategy: tf.distribute.Strategy | None = None,
) -> BatchPipeline:
    """The `BatchPipeline` that a run's settings describe, for both tasks.

    Args:
        config: The settings.
        dataset: The dataset.
        strategy: Devices that share a step; None is one device.
    """
    return BatchPipeline(
        dataset,
        batch_size=config.batch_size,
        evaluation_batch_size=config.evaluation_batch_size,
        max_rec_history=config.max_rec_history,
        max_search_history=config.max_search_history,
        max_query_words=config.max_query_words,
        max_clicked_items=config.max_clicked_items,
        num_negatives=config.num_negatives,
        num_sampled=config.num_sampled,
        num_groups=config.history_groups,
        seed=config.seed,
        num_replicas=strategy.num_replicas_in_sync if strategy else 1,
        num_workers=num_workers(strategy) if strategy else 1,
    )


@contextlib.contextmanager
def _prepared(config: RunConfig) -> Iterator[tuple[Model, BatchPipeline]]:
    """A model with its data, on its devices, in the precision of the config."""
    strategy = make_strategy(config.strategy, config.tpu)
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(_POLICIES[config.precision])
    try:
        dataset = SequenceDataset.open(config.dataset_dir)
        keras.utils.set_random_seed(config.seed)
        pipeline = make_pipeline(config, dataset, strategy)
        with strategy.scope():
            model = build_model(config.model, pipeline, config.hyperparameters)
            pipeline = fit_pipeline(pipeline, model)
            compile_model(
                model,
                _learning_rate(config, pipeline),
                config.l2,
                embedding_optimizer=config.embedding_optimizer,
                clip_norm=config.clip_norm,
                jit_compile=config.jit_compile,
                steps_per_execution=config.steps_per_execution,
            )
        yield model, pipeline
    finally:
        keras.mixed_precision.set_dtype_policy(policy)


def _require_targets(pipeline, splits):
    """Finds a split without targets before it is needed, perhaps hours later."""
    for split in splits:
        if not pipeline.steps_per_epoch(split):
            raise DatasetError(
                f"{pipeline.dataset.dataset_dir} has no {split} targets for the tasks "
                f"{', '.join(pipeline.tasks)}; make it of a longer log"
            )


def _start_from(model, run_dir):
    """Takes the best weights of another run that fit; tells which."""
    try:
        other, _ = load_run(run_dir)
        return transfer.take_weights(model, other)
    except ValueError as error:  # Errors of the run folder and the checkpoint, too.
        raise ConfigError(f"init_from={run_dir}: {error}") from error


def _learning_rate(config, pipeline):
    if config.schedule == "plateau":
        return config.learning_rate
    try:
        return WarmupDecay(
            config.learning_rate,
            config.epochs * pipeline.steps_per_epoch("train"),
            config.warmup_steps,
            config.min_learning_rate,
            config.schedule,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _evaluate_best(model, pipeline, folder):
    """Restores the best epoch; writes and returns its metrics."""
    epoch = checkpoint.load(folder.best, model)["epoch"]
    is_chief = Workers(model.distribute_strategy).is_chief
    metrics: dict[str, Any] = {}
    for split, ranks in rank_targets(model, pipeline, SPLITS).items():
        metrics[split] = metrics_by_task(ranks)
        if is_chief:
            folder.write_ranks(split, ranks)
    metrics["epoch"] = epoch
    with Workers(model.distribute_strategy).chief_first():
        baselines = load_baselines(pipeline.dataset)
    metrics["baselines"] = {
        ranker: {task: by_split["test"][task] for task in model.tasks}
        for ranker, by_split in baselines.items()
    }
    if is_chief:
        folder.write_metrics(metrics)
    return metrics


def _config_to_open(folder, changes):
    """The run's settings with some of others, to evaluate or export it."""
    kept = folder.load_config()
    config = dataclasses.replace(kept, **changes)
    if config.strategy != "tpu":
        config = dataclasses.replace(config, tpu="")
    config = _absolute(config).check()
    _refuse(set(kept.changed(config)) - _CHANGEABLE, folder)
    return config


def _check_resumed(config, folder):
    changed = set(folder.load_config().changed(config))
    refused = changed - _CHANGEABLE
    if config.schedule != "plateau":
        # Its length is the course of the learning rate.
        refused |= changed & {"epochs"}
    _refuse(refused, folder)


def _refuse(changed, folder):
    if changed:
        raise ConfigError(
            f"{min(changed)} is not what the run was started with (see "
            f"{folder.config}); leave it out, or start a run in another folder"
        )


def _absolute(config):
    """The config with paths that hold in every folder."""
    paths = {
        name: str(as_path(value).resolve())
        for name in ("dataset_dir", "init_from")
        if (value := getattr(config, name)) is not None
    }
    return dataclasses.replace(config, **paths)


def _summary(config, model, pipeline):
    info = pipeline.dataset.info
    replicas = pipeline.num_replicas
    shared = ""
    if config.strategy != "one_device":
        shared = f" of {replicas} replica{'s' * (replicas > 1)}"
    if pipeline.num_workers > 1:
        shared += "; the worker with most targets sets the number"
    return (
        f"{config.model}: {model.count_params():,} weights; {info.name}: "
        f"{info.num_users:,} users, {info.num_items:,} items, "
        f"{pipeline.steps_per_epoch('train'):,} steps an epoch{shared}"
    )
