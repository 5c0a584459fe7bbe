"""A model's optimizer, and how its steps are run; on JAX too, without TensorFlow."""

import keras

from sar_tf.training.adam import AdamL2


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
        learning_rate: A number, or a `keras.optimizers.schedules` schedule.
        l2: As `AdamL2`.
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
        optimizer,
        # JAX has no other compiler.
        jit_compile=jit_compile or keras.backend.backend() == "jax",
        steps_per_execution=steps_per_execution,
    )
    # Else the first step makes the optimizer's variables and must be traced twice.
    model.optimizer.build(model.trainable_variables)
    if keras.backend.backend() == "tensorflow":
        from sar_tf.training.executor import Executor

        model.train_function = Executor(model, model.train_step)
        model.test_function = Executor(model, model.test_step)
