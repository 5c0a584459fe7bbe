"""What Keras' `fit` and `evaluate` run, under any `tf.distribute` strategy."""

import sys

import keras
import tensorflow as tf


class Executor:
    """What `fit` or `evaluate` calls for one or more steps, under any strategy.

    Keras' own cannot reduce its results over several workers. And it runs on into the
    next epoch where --steps_per_execution does not divide the steps.

    Args:
        model: A compiled model.
        step: Its `train_step` or `test_step`.
    """

    def __init__(self, model, step):
        self._model = model
        self.begin(sys.maxsize)
        strategy = model.distribute_strategy

        def run_step(batch):
            step(batch)

        if model.jit_compile:
            run_step = tf.function(run_step, jit_compile=True)

        @tf.function(reduce_retracing=True)
        def execute(iterator, steps):
            if model.steps_per_execution == 1:
                strategy.run(run_step, args=((next(iterator),),))
            else:
                for _ in tf.range(steps):
                    strategy.run(run_step, args=((next(iterator),),))
            # For the progress bar, this replica's results will do.
            return keras.tree.map_structure(
                lambda x: strategy.experimental_local_results(x)[0],
                strategy.run(model.get_metrics_result),
            )

        self._execute = execute

    def begin(self, steps):
        """Tells after how many steps the next epoch or split begins."""
        self._steps, self._done = steps, 0

    def __call__(self, iterator):
        steps = min(self._model.steps_per_execution, self._steps - self._done)
        self._done = (self._done + steps) % self._steps
        return self._execute(iterator, tf.constant(steps))
