"""Training on the targets of all splits, for a model that is served."""

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import keras

from sar_tf.data.pipeline import BatchPipeline
from sar_tf.models import Model
from sar_tf.training import callbacks, checkpoint
from sar_tf.training.history import HistoryCsv
from sar_tf.training.loop import train_batches
from sar_tf.training.progress import Progress
from sar_tf.training.run_directory import RunDirectory, RunDirectoryError
from sar_tf.training.strategy import Workers


class SetLearningRates(keras.callbacks.Callback):
    """Sets the learning rate of each epoch.

    Args:
        rates: The rate of epoch 0, 1, …
    """

    def __init__(self, rates: Sequence[float]) -> None:
        super().__init__()
        self.rates = tuple(rates)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.model.optimizer.learning_rate = self.rates[epoch]


@dataclasses.dataclass(frozen=True)
class _LastEpoch:
    """Stands for early stopping where no validation chooses an epoch."""

    best_epoch: int


def fit_all(
    model: Model,
    pipeline: BatchPipeline,
    run_dir: RunDirectory,
    *,
    epochs: int,
    rates: Sequence[float] | None,
    checkpoint_minutes: float,
    resume: bool,
    verbose: str,
) -> None:
    """Trains for a number of epochs, without validation.

    All workers of a strategy call this; only the chief writes files. The folder's best
    checkpoint is the last epoch's, and exists when training is complete.

    Args:
        model: A built and compiled model.
        pipeline: The `BatchPipeline` of the training batches.
        run_dir: The folder of checkpoints and history.csv.
        epochs: Number of epochs.
        rates: Learning rate of each epoch; None where the optimizer has a schedule.
        checkpoint_minutes, resume, verbose: As in `loop.fit`.

    Raises:
        CheckpointError, TrainingError, WriteError: As `loop.fit`.
    """
    workers = Workers(model.distribute_strategy)
    state = None
    if resume:
        with workers.chief_first():
            state = checkpoint.load_last(run_dir.last, run_dir.previous, model)
    progress = Progress((), epochs, verbose if workers.is_chief else "none")
    steps = pipeline.steps_per_epoch("train")
    while state is None or state["epoch"] < epochs:
        # An epoch that broke off has fewer steps than the others: a call of its own.
        epoch, step = (state["epoch"], state["epoch_step"]) if state else (0, 0)
        finite_steps = callbacks.FiniteSteps(pipeline, run_dir, workers, step)
        checkpoints = callbacks.Checkpoints(
            run_dir,
            workers,
            checkpoint_minutes,
            steps,
            finite_steps,
            _LastEpoch(epochs - 1),
            {},
            state,
        )
        progress.start_step = step
        model.train_function.begin(steps - step)
        model.fit(
            train_batches(model, pipeline, epoch, step),
            steps_per_epoch=steps - step,
            initial_epoch=epoch,
            epochs=epoch + 1 if step else epochs,
            verbose=0,
            callbacks=[
                *([] if rates is None else [SetLearningRates(rates)]),
                callbacks.LearningRate(),
                progress,
                *([HistoryCsv(run_dir.history, epoch)] if workers.is_chief else []),
                finite_steps,
                checkpoints,
            ],
        )
        state = checkpoints.state
    workers.wait()  # until the chief has written the best checkpoint


def read_learning_rates(path: Path, epochs: int) -> list[float]:
    """The learning rates of the first epochs in a history.csv.

    Raises:
        RunDirectoryError: The file is missing, damaged or without an epoch's rate.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rates = [float(row["learning_rate"]) for row in csv.DictReader(file)]
        if len(rates) < epochs:
            raise ValueError(f"it has {len(rates)} of {epochs} epochs")
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise RunDirectoryError(
            f"{path} does not tell the learning rates of the first training "
            f"({error}), which train_on=all repeats; put a copy of it back"
        ) from error
    return rates[:epochs]
