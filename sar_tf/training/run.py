"""A run as a function: trains a model and keeps everything about it in a folder."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras

from sar_tf.models import Model
from sar_tf.training import checkpoint, final, loop, transfer
from sar_tf.training.config import ConfigError, RunConfig
from sar_tf.training.copies import (
    begin_copies,
    copied_tasks,
    copy_config,
    copy_folder,
)
from sar_tf.training.files import exhaustion_named
from sar_tf.training.finished import (
    SPLITS,
    check_folder,
    evaluate_best,
    folder_of_all,
    load_stage,
    with_absolute_paths,
    write_joined,
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
    `RunDirectory` describes. A model that is trained in two stages (`FineTuned`) then
    has a copy for each task, a run in a folder of its own, which scores the task.

    Args:
        config: The settings of the run.
        run_dir: The run's folder: new or empty, unless the run is resumed.
        callbacks: More Keras callbacks for training.
        resume: Whether to go on from the last checkpoint of the folder.
        verbose: "epochs" prints a line an epoch, "all" every number, "none" nothing.

    Returns:
        The content of metrics.json: "validation" and "test", {task: {"HR@1": value,
        …}}; "epoch", the best one; "baselines", the test metrics of other rankers; of
        a model of two stages, "copy_epochs", {task: the best epoch of its copy}.

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
    return _run(config, RunDirectory(run_dir), callbacks, resume, verbose)


def _run(config, folder, callbacks, resume, verbose):
    """`run` of checked settings; also a copy's, which starts from the first stage."""
    check_folder(config, folder, resume)
    tasks = copied_tasks(config)
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
        if config.init_from and not folder.has_checkpoint():
            # A model that was trained on the targets of all splits may know those that
            # validate and test this one.
            taken = _start_from(model, pipeline, config.init_from, served=False)
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
        epoch = checkpoint.load_state(folder.best)["epoch"]
        if tasks:
            started = _begin_copies(folder, tasks, Workers(model.distribute_strategy))
        else:
            metrics = evaluate_best(model, pipeline, folder)
    if config.train_on == "all":
        _train_on_all(config, folder, epoch, resume, verbose)
    if tasks:
        found = {}
        for task in tasks:
            if verbose != "none" and is_chief:
                print(f"\nA copy for the task {task}:", flush=True)
            found[task] = _run(
                copy_config(config, folder, task),
                copy_folder(folder, task),
                callbacks,
                resume=started[task],
                verbose=verbose,
            )
        metrics = write_joined(folder, found, epoch, is_chief)
    return metrics


def _begin_copies(folder, tasks, workers):
    """{task: whether its copy was started before}, the same on all workers."""
    with workers.chief_first():
        if workers.is_chief:
            begin_copies(folder)
        started = {t: copy_folder(folder, t).config.is_file() for t in tasks}
    workers.wait()  # None starts a copy before all have looked.
    return started


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
        if config.init_from and not own.has_checkpoint():
            _start_from(model, pipeline, config.init_from, served=True)
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


def _start_from(model, pipeline, run_dir, served):
    """Takes the weights of another run's first stage that fit; tells which."""
    other, others = load_stage(RunDirectory(run_dir), served)
    try:
        return transfer.take_weights(model, other, pipeline.dataset, others.dataset)
    except ValueError as error:
        raise ConfigError(f"init_from={run_dir}: {error}") from error
