"""Trains and evaluates a model with Keras' `fit` and `evaluate`."""

import keras

from sar_tf.training import callbacks, checkpoint
from sar_tf.training.adam import AdamL2
from sar_tf.training.baselines import split_by_task


def compile_model(
    model, learning_rate, l2, *, embedding_optimizer="adam", clip_norm=0.0
):
    """Gives a model its optimizer.

    Args:
        model: A built model.
        learning_rate, l2: As `AdamL2`.
        embedding_optimizer: "adam" moves every row of an embedding table in each step,
            "lazy_adam" those that the step looks up; see `LazyAdamL2`.
        clip_norm: Norm of all gradients together that larger ones are scaled down to;
            0 lets them be.
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
    # XLA would compile again for each of the many shapes of grouped histories. JAX has
    # no other compiler.
    model.compile(optimizer, jit_compile=keras.backend.backend() == "jax")
    # Else the first step makes the optimizer's variables and must be traced twice.
    model.optimizer.build(model.trainable_variables)


def fit(
    model,
    pipeline,
    run_dir,
    *,
    epochs,
    evaluation_batches,
    plateau_factor=0.1,
    plateau_patience=3,
    min_learning_rate=1e-6,
    early_stopping_patience=5,
    resume=False,
    verbose="auto",
):
    """Trains until early stopping or the last epoch, with files in the run folder.

    Args:
        model: A built and compiled model.
        pipeline: The `BatchPipeline` of the training batches.
        run_dir: A started `RunDirectory`.
        epochs: Epochs at most.
        evaluation_batches: Validation batches, a `tf.data.Dataset`.
        plateau_factor, plateau_patience, min_learning_rate: After this many epochs
            without a better "val_NDCG@5" the learning rate is multiplied by the
            factor, down to the minimum.
        early_stopping_patience: After this many, training ends.
        resume: Go on from last.weights.h5, where there is one.
        verbose: As Keras'.

    Raises:
        CheckpointError: The checkpoint to go on from is damaged or another model's.
        TrainingError: The loss is not finite any more.
    """
    state = None
    if resume and run_dir.last.is_file():
        state = checkpoint.load(run_dir.last, model)
    initial_epoch = state["epoch"] if state else 0
    if initial_epoch >= epochs or (
        state and state["callbacks"]["early_stopping"]["stopped"]
    ):
        return
    plateau = callbacks.ReduceLROnPlateau(
        factor=plateau_factor, patience=plateau_patience, min_lr=min_learning_rate
    )
    early_stopping = callbacks.EarlyStopping(patience=early_stopping_patience)
    model.fit(
        pipeline.train(start_epoch=initial_epoch),
        steps_per_epoch=pipeline.steps_per_epoch("train"),
        validation_data=evaluation_batches,
        initial_epoch=initial_epoch,
        epochs=epochs,
        shuffle=False,  # the pipeline shuffles
        verbose=verbose,
        callbacks=[
            callbacks.MeanOverTasks(model.tasks),
            plateau,
            early_stopping,
            callbacks.HistoryCsv(run_dir.history, initial_epoch),
            keras.callbacks.TensorBoard(run_dir.events, write_graph=False),
            callbacks.Checkpoints(
                run_dir.checkpoints,
                early_stopping,
                {"plateau": plateau, "early_stopping": early_stopping},
                restored=state,
            ),
        ],
    )


def evaluate(model, batches, verbose="auto"):
    """Ranking metrics of a split: {task: {"HR@1": …, "NDCG@1": …, "MRR": …}}."""
    logs = model.evaluate(batches, return_dict=True, verbose=verbose)
    return split_by_task(logs, model.tasks)
