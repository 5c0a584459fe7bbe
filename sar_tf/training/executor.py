"""The step function of Keras' `fit` and `evaluate`, for all strategies."""

import sys

import tensorflow as tf


class Executor:
    """Function that `fit` or `evaluate` calls to run one or more steps.

    Keras' own function cannot reduce its results over several workers. It also runs
    into the next epoch if steps_per_execution does not divide the number of steps.

    Args:
        model: A compiled model.
        step: Its `train_step` or `test_step`.
    """

    def __init__(self, model, step):
        self._model = model
        self._strategy = model.distribute_strategy
        self.begin(sys.maxsize)

        def run_step(batch):
            step(batch)

        if model.jit_compile:
            run_step = tf.function(run_step, jit_compile=True)

        @tf.function(reduce_retracing=True)
        def execute(iterator, steps):
            if model.steps_per_execution == 1:
                self._strategy.run(run_step, args=(next(iterator),))
            else:
                for _ in tf.range(steps):
                    self._strategy.run(run_step, args=(next(iterator),))
            return self._results()

        @tf.function(reduce_retracing=True)
        def execute_batch(batch):
            self._strategy.run(run_step, args=(batch,))
            return self._results()

        self._execute = execute
        self._execute_batch = execute_batch

    def begin(self, steps):
        """Begins an epoch or split of this many steps."""
        self._steps, self._done = steps, 0

    def __call__(self, iterator):
        if not isinstance(
            iterator, tf.data.Iterator | tf.distribute.DistributedIterator
        ):
            # `train_on_batch` and `test_on_batch` give a generator of one batch.
            return self._execute_batch(next(iter(iterator)))
        steps = min(self._model.steps_per_execution, self._steps - self._done)
        self._done = (self._done + steps) % self._steps
        return self._execute(iterator, tf.constant(steps))

    def _results(self):
        """The mean of each result over replicas, by one collective for all results.

        If a value is not finite in one replica, all replicas see it. The mean of
        ranking metrics is not exact; Keras reads the exact values at the end.
        """
        results = self._strategy.run(self._model.get_metrics_result)
        if self._strategy.num_replicas_in_sync == 1:
            return results
        names = list(results)
        stacked = self._strategy.run(
            lambda values: tf.stack([tf.cast(x, tf.float32) for x in values]),
            args=([results[name] for name in names],),
        )
        means = self._strategy.reduce(tf.distribute.ReduceOp.MEAN, stacked, axis=None)
        return dict(zip(names, tf.unstack(means, len(names)), strict=True))
