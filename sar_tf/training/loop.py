"""Trains and evaluates a model with Keras' `fit` and `evaluate`."""

import dataclasses

import keras

from sar_tf.training import callbacks, checkpoint
from sar_tf.training.baselines import split_by_task
from sar_tf.training.strategy import Workers, distribute


def fit(
    model,
    pipeline,
    run_dir,
    *,
    epochs,
    evaluation,
    plateau_factor=0.1,
    plateau_patience=3,
    min_learning_rate=1e-6,
    early_stopping_patience=5,
    checkpoint_minutes=10.0,
    resume=False,
    verbose="auto",
):
    """Trains until early stopping or the last epoch, with files in the run folder.

    All workers of a strategy call this; only the chief writes files.

    Args:
        model: A built and compiled model.
        pipeline: The `BatchPipeline` of the training batches.
        run_dir: A started `RunDirectory`.
        epochs: Epochs at most.
        evaluation: The `BatchPipeline` of the validation batches.
        plateau_factor, plateau_patience, min_learning_rate: After this many epochs
            without a better "val_NDCG@5" the learning rate is multiplied by the
            factor, down to the minimum.
        early_stopping_patience: After this many, training ends.
        checkpoint_minutes: Training time between two checkpoints inside an epoch, at
            least; 0 is every step.
        resume: Go on from the last checkpoint, where there is one.
        verbose: As Keras'.

    Raises:
        CheckpointError: The checkpoint to go on from is damaged or another model's.
        TrainingError: The loss or a weight is not finite any more.
        WriteError: The disk is full or the folder cannot be written.
    """
    steps = pipeline.steps_per_epoch("train")
    workers = Workers(model.distribute_strategy)
    state = None
    if resume:
        # The chief first, which may have to put the files in order.
        with workers.chief_first():
            state = checkpoint.load_last(run_dir.last, run_dir.previous, model)
    while not _is_finished(state, epochs):
        epoch, step = _progress(state)
        plateau = callbacks.ReduceLROnPlateau(
            factor=plateau_factor, patience=plateau_patience, min_lr=min_learning_rate
        )
        early_stopping = callbacks.EarlyStopping(patience=early_stopping_patience)
        finite_steps = callbacks.FiniteSteps(pipeline, run_dir, workers, step)
        checkpoints = callbacks.Checkpoints(
            run_dir,
            workers,
            checkpoint_minutes,
            steps,
            finite_steps,
            early_stopping,
            {"plateau": plateau, "early_stopping": early_stopping},
            state,
        )
        records = [
            callbacks.HistoryCsv(run_dir.history, epoch),
            keras.callbacks.TensorBoard(run_dir.events, write_graph=False),
        ]
        model.train_function.begin(steps - step)
        model.test_function.begin(evaluation.steps_per_epoch("validation"))
        # Epochs of one `fit` are of one length: one that broke off, which has fewer
        # steps left than the others, is trained to its end by a `fit` of its own.
        model.fit(
            _train_batches(model, pipeline, epoch, step),
            steps_per_epoch=steps - step,
            validation_data=_evaluation_batches(model, evaluation, "validation"),
            validation_steps=evaluation.steps_per_epoch("validation"),
            initial_epoch=epoch,
            epochs=epoch + 1 if step else epochs,
            shuffle=False,  # the pipeline shuffles
            verbose=verbose if workers.is_chief else 0,
            callbacks=[
                callbacks.MeanOverTasks(model.tasks),
                plateau,
                early_stopping,
                *(records if workers.is_chief else ()),
                finite_steps,
                checkpoints,
            ],
        )
        state = checkpoints.state
    workers.wait()  # until the chief has written the best checkpoint


def _train_batches(model, pipeline, epoch, step):
    return distribute(
        model.distribute_strategy,
        lambda worker: dataclasses.replace(pipeline, worker=worker).train(epoch, step),
    )


def _evaluation_batches(model, pipeline, split):
    return distribute(
        model.distribute_strategy,
        lambda worker: dataclasses.replace(pipeline, worker=worker).evaluate(split),
    )


def _progress(state):
    """Epochs, and steps of the next one, that a checkpoint's state has behind it."""
    if state is None:
        return 0, 0
    return state["epoch"], state.get("epoch_step", 0)  # which there was not at first


def _is_finished(state, epochs):
    if state is None:
        return False
    return state["epoch"] >= epochs or state["callbacks"]["early_stopping"]["stopped"]


def evaluate(model, pipeline, split, verbose="auto"):
    """Ranking metrics of a split: {task: {"HR@1": …, "NDCG@1": …, "MRR": …}}."""
    steps = pipeline.steps_per_epoch(split)
    model.test_function.begin(steps)
    logs = model.evaluate(
        _evaluation_batches(model, pipeline, split),
        steps=steps,
        return_dict=True,
        verbose=verbose,
    )
    return split_by_task(logs, model.tasks)
