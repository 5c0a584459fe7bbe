"""A run as a function: trains a model and keeps everything about it in a folder."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras

from sar_tf.models import Model
from sar_tf.training import final, loop, transfer
from sar_tf.training.config import ConfigError, RunConfig
from sar_tf.training.files import exhaustion_named
from sar_tf.training.finished import (
    SPLITS,
    check_folder,
    evaluate_best,
    folder_of_all,
    load_run,
    with_absolute_paths,
)
from sar_tf.training.prepare import describe, prepared
from sar_tf.training.run_directory import RunDirectory
from sar_tf.training.strategy import Workers


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
        OutOfMemoryError: The batches or the model are too large for the memory.

    Example:

        config = RunConfig(dataset_dir="data/beauty", hyperparameters={"dropout": 0.2})
        metrics = run(config, "runs/beauty")
    """
    config = with_absolute_paths(config).check()
    folder = RunDirectory(run_dir)
    check_folder(config, folder, resume)
    with (
        exhaustion_named(folder.path),
        prepared(config) as (model, pipeline),
        _locked(folder, model) as is_chief,
    ):
        if is_chief:  # Another process may have trained here meanwhile.
            check_folder(config, folder, resume)
        for split in ("train", *SPLITS):
            pipeline.require_targets(split)
        if verbose != "none" and is_chief:
            print(describe(config, model, pipeline), flush=True)
        if config.init_from and not resume:
            taken = _start_from(model, pipeline, config.init_from)
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
        metrics = evaluate_best(model, pipeline, folder)
    if config.train_on == "all":
        _train_on_all(config, folder, metrics["epoch"], resume, verbose)
    return metrics


@contextlib.contextmanager
def _locked(folder: RunDirectory, model: Model) -> Iterator[bool]:
    """Whether this process is the chief, which holds the folder meanwhile."""
    is_chief = Workers(model.distribute_strategy).is_chief
    with folder.locked() if is_chief else contextlib.nullcontext():
        yield is_chief


def _train_on_all(config, folder, epochs, resume, verbose):
    """Trains anew, on the targets of all splits, as long as validation chose."""
    rates = None
    if config.schedule == "plateau":
        rates = final.read_learning_rates(folder.history, epochs)
    own = folder_of_all(folder)
    with (
        exhaustion_named(folder.path),
        prepared(config, train_on="all") as (model, pipeline),
        _locked(folder, model) as is_chief,
    ):
        if config.init_from:
            _start_from(model, pipeline, config.init_from)
        if is_chief:
            own.checkpoints.mkdir(parents=True, exist_ok=True)
        if verbose != "none" and is_chief:
            print(f"\nThe targets of all splits, {epochs} epochs:", flush=True)
        final.fit_all(
            model,
            pipeline,
            own,
            epochs=epochs,
            rates=rates,
            checkpoint_minutes=config.checkpoint_minutes,
            resume=resume,
            verbose=verbose,
        )


def _start_from(model, pipeline, run_dir):
    """Takes the weights of another run that fit; tells which."""
    other, others = load_run(run_dir, served=True)
    try:
        return transfer.take_weights(model, other, pipeline.dataset, others.dataset)
    except ValueError as error:
        raise ConfigError(f"init_from={run_dir}: {error}") from error
