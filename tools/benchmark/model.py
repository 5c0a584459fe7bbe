"""How many targets a second a model trains on, or evaluates."""

import itertools
import resource
import statistics
import time

import keras

from sar_tf import models
from sar_tf.training.compile import compile_model

TRAINING_SIZES = (1018, 1019)  # amazon_beauty's with batch_size=1024
EVALUATION_SIZES = (256, 256)
_WARM_UP_STEPS = 3
_FEWEST_STEPS = 5
_ENDLESS = 1_000_000  # Steps; the timer ends them.


def measure_training(name, batches, *, sizes, seconds, embedding_optimizer):
    """Times training steps, with their forward and backward pass and the optimizer's.

    Args:
        name: A model's name, with its default hyperparameters.
        batches: Its `RandomBatches`.
        sizes: Targets a task, of batches that take turns.
        seconds: How long to go on after the warm-up.
        embedding_optimizer: As `compile_model`.

    Returns:
        What was measured, and of what.
    """
    prepared = batches.train(sizes)
    model = make_model(name, batches)
    compile_model(
        model, learning_rate=1e-3, l2=1e-5, embedding_optimizer=embedding_optimizer
    )
    timer = StepTimer(seconds)
    model.fit(
        _repeat(prepared),
        steps_per_epoch=_ENDLESS,
        shuffle=False,
        verbose=0,
        callbacks=[timer],
    )
    result = _describe(name, batches, sizes, timer)
    return {**result, "embedding_optimizer": embedding_optimizer}


def measure_evaluation(name, batches, *, sizes, seconds):
    """Times steps that score 100 candidates a target and rank them.

    Args, Returns: As `measure_training`.
    """
    prepared = batches.evaluate(sizes)
    model = make_model(name, batches)
    compile_model(model, learning_rate=1e-3, l2=1e-5)
    timer = StepTimer(seconds)
    model.evaluate(_repeat(prepared), steps=_ENDLESS, verbose=0, callbacks=[timer])
    return _describe(name, batches, sizes, timer)


def make_model(name, batches):
    """A model with random weights, not compiled."""
    keras.utils.set_random_seed(1)
    return models.get(name)(batches.spec, batches.tables)


def peak_memory():
    """The largest memory of this process up to now, in MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


class StepTimer(keras.callbacks.Callback):
    """Times the steps of `fit` or `evaluate` and ends it in good time."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds
        self.ends = []  # of steps: in seconds, and in seconds of all processors
        self.processor_ends = []

    def on_train_begin(self, logs=None):
        self.began = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        float(logs["click_loss"])  # Waits for what was only enqueued.
        self.ends.append(time.perf_counter())
        self.processor_ends.append(time.process_time())
        steps = len(self.ends) - _WARM_UP_STEPS
        if steps >= _FEWEST_STEPS:
            enough = self.ends[-1] - self.ends[_WARM_UP_STEPS - 1] >= self.seconds
            self.model.stop_training = self.model.stop_evaluating = enough

    on_test_begin = on_train_begin
    on_test_batch_end = on_train_batch_end

    def step_times(self):
        """Seconds of each step after the warm-up, and seconds of all processors."""
        return tuple(
            [b - a for a, b in itertools.pairwise(ends[_WARM_UP_STEPS - 1 :])]
            for ends in (self.ends, self.processor_ends)
        )


def _repeat(batches):
    """Batches without end, on TensorFlow as a dataset, with shapes of all of them."""
    if keras.backend.backend() != "tensorflow":
        return ((batch,) for batch in itertools.cycle(batches))
    import tensorflow as tf  # Here because JAX does without it.

    first, *others = map(tf.data.Dataset.from_tensors, batches)
    for other in others:
        first = first.concatenate(other)
    return first.repeat().prefetch(2)


def _describe(name, batches, sizes, timer):
    times, processor_times = timer.step_times()
    targets = statistics.mean(sizes) * len(batches.tasks)
    median = statistics.median(times)
    return {
        "model": name,
        "backend": keras.backend.backend(),
        "targets_per_second": round(targets / median, 1),
        "seconds_per_step": round(median, 4),
        "slowest_step": round(max(times), 4),
        "fastest_step": round(min(times), 4),
        # Other programs on the machine hardly change this.
        "processor_seconds_per_step": round(statistics.median(processor_times), 4),
        "steps": len(times),
        "seconds_to_first_step": round(timer.ends[0] - timer.began, 1),
        "targets_per_step": targets,
        "peak_memory_mib": peak_memory(),
        "items": batches.spec.num_items,
        "history_groups": batches.num_groups,
    }
