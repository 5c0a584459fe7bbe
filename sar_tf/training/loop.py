"""Trains and evaluates a model with Keras' `fit` and `evaluate`."""

import dataclasses

import keras

from sar_tf.training import callbacks, checkpoint
from sar_tf.training.adam import AdamL2
from sar_tf.training.baselines import split_by_task
from sar_tf.training.strategy import Workers, distribute


def compile_model(
    model,
    learning_rate,
    l2,
    *,
    embedding_optimizer="adam",
    clip_norm=0.0,
    jit_compile=False,
    steps_per_execution=1,
):
    """Gives a model its optimizer, in the scope of the strategy it was built in.

    Args:
        model: A built model.
        learning_rate, l2: As `AdamL2`.
        embedding_optimizer: "adam" moves every row of an embedding table in each step,
            "lazy_adam" those that the step looks up; see `LazyAdamL2`.
        clip_norm: Norm of all gradients together that larger ones are scaled down to;
            0 lets them be.
        jit_compile: Whether XLA compiles the steps. It does so for each shape, so
            that the batches must be of one group of histories.
        steps_per_execution: Steps of `fit` and `evaluate` between two callbacks.
    """
    if embedding_optimizer == "adam":
        make_optimizer = AdamL2
    elif embedding_optimizer == "lazy_adam":
        # Here because it needs TensorFlow, and training on JAX does not.
        from sar_tf.training.lazy_adam import LazyAdamL2

        make_optimizer = LazyAdamL2
    else:
        raise ValueError(f"embedding_optimizer is {embedding_optimizer!r}")
    optimizer = make_optimizer(
        learning_rate=learning_rate, l2=l2, global_clipnorm=clip_norm or None
    )
    model.compile(
        optimizer, jit_compile=jit_compile, steps_per_execution=steps_per_execution
    )
    # Else the first step makes the optimizer's variables and must be traced twice.
    model.optimizer.build(model.trainable_variables)
    if keras.backend.backend() == "tensorflow":
        from sar_tf.training.executor import Executor

        model.train_function = Executor(model, model.train_step)
        model.test_function = Executor(model, model.test_step)


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
