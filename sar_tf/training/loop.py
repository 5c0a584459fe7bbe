"""Trains a model with Keras' `fit`, so that it can break off at any moment."""

import dataclasses

import keras

from sar_tf.training import callbacks, checkpoint
from sar_tf.training.progress import Progress
from sar_tf.training.strategy import Workers, distribute


def fit(
    model,
    pipeline,
    run_dir,
    *,
    epochs,
    plateau=True,
    plateau_factor=0.1,
    plateau_patience=3,
    min_learning_rate=1e-6,
    early_stopping_patience=5,
    checkpoint_minutes=10.0,
    resume=False,
    verbose="epochs",
    more_callbacks=(),
):
    """Trains until early stopping or the last epoch, with files in the run folder.

    All workers of a strategy call this; only the chief writes files.

    Args:
        model: A built and compiled model.
        pipeline: The `BatchPipeline` of training and validation batches.
        run_dir: A started `RunDirectory`.
        epochs: Maximum number of epochs.
        plateau: Whether the learning rate is reduced on a plateau.
        plateau_factor, plateau_patience, min_learning_rate: After this many epochs
            without a better "val_NDCG@5" the learning rate is multiplied by the
            factor, down to the minimum.
        early_stopping_patience: After this many, training ends.
        checkpoint_minutes: Minutes of training between two checkpoints inside an
            epoch; 0 is every step.
        resume: Whether to go on from the last checkpoint, where there is one.
        verbose: As `Progress`.
        more_callbacks: Keras callbacks of the caller, on every worker.

    Raises:
        CheckpointError: The checkpoint to go on from is damaged or another model's.
        TrainingError: The loss or a weight is not finite any more.
        WriteError: The disk is full or the folder cannot be written.
    """
    workers = Workers(model.distribute_strategy)
    state = None
    if resume:
        # The chief first, which may have to put the files in order.
        with workers.chief_first():
            state = checkpoint.load_last(run_dir.last, run_dir.previous, model)
        if workers.is_chief:
            checkpoint.require_best(run_dir, state)
    best = state and state["callbacks"]["early_stopping"]["best"]
    progress = Progress(
        model.tasks, epochs, verbose if workers.is_chief else "none", best
    )
    while not _is_finished(state, epochs):
        stateful = {
            "early_stopping": callbacks.EarlyStopping(patience=early_stopping_patience)
        }
        if plateau:
            stateful["plateau"] = callbacks.ReduceLROnPlateau(
                factor=plateau_factor,
                patience=plateau_patience,
                min_lr=min_learning_rate,
            )
        state = _fit_on(
            model,
            pipeline,
            run_dir,
            epochs,
            state,
            stateful,
            checkpoint_minutes,
            [progress, *more_callbacks],
        )
    workers.wait()  # until the chief has written the best checkpoint


def _fit_on(
    model, pipeline, run_dir, epochs, state, stateful, checkpoint_minutes, more
):
    """One call of Keras' `fit`; returns the state of the last checkpoint.

    Epochs of one call are of one length: an epoch that broke off, which has fewer
    steps left than the others, is trained to its end by a call of its own.
    """
    workers = Workers(model.distribute_strategy)
    epoch, step = (0, 0) if state is None else (state["epoch"], state["epoch_step"])
    steps = pipeline.steps_per_epoch("train")
    evaluation_steps = pipeline.steps_per_epoch("validation")
    finite_steps = callbacks.FiniteSteps(pipeline, run_dir, workers, step)
    checkpoints = callbacks.Checkpoints(
        run_dir,
        workers,
        checkpoint_minutes,
        steps,
        finite_steps,
        stateful["early_stopping"],
        stateful,
        state,
    )
    records = []
    if workers.is_chief:
        records = [
            callbacks.HistoryCsv(run_dir.history, epoch),
            keras.callbacks.TensorBoard(run_dir.events, write_graph=False),
        ]
    progress, *others = more
    progress.start_step = step
    model.train_function.begin(steps - step)
    model.test_function.begin(evaluation_steps)
    model.fit(
        _train_batches(model, pipeline, epoch, step),
        steps_per_epoch=steps - step,
        validation_data=evaluation_batches(
            model.distribute_strategy, pipeline, "validation"
        ),
        validation_steps=evaluation_steps,
        initial_epoch=epoch,
        epochs=epoch + 1 if step else epochs,
        shuffle=False,  # the pipeline shuffles
        verbose=0,
        callbacks=[
            callbacks.MeanOverTasks(model.tasks),
            callbacks.LearningRate(),
            *stateful.values(),
            progress,
            *records,
            finite_steps,
            *others,
            checkpoints,
        ],
    )
    return checkpoints.state


def _train_batches(model, pipeline, epoch, step):
    return distribute(
        model.distribute_strategy,
        lambda worker: dataclasses.replace(pipeline, worker=worker).train_from(
            epoch, step
        ),
    )


def evaluation_batches(strategy, pipeline, split):
    """The batches of a split, for each replica its share."""
    return distribute(
        strategy,
        lambda worker: dataclasses.replace(pipeline, worker=worker).evaluate(split),
    )


def _is_finished(state, epochs):
    if state is None:
        return False
    return state["epoch"] >= epochs or state["callbacks"]["early_stopping"]["stopped"]
