"""How much longer an epoch of `fit` takes than its steps: does the input keep up?"""

import itertools
import math
import statistics
import tempfile
from pathlib import Path

import keras

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.training.build import build_model, fit_pipeline
from sar_tf.training.compile import compile_model
from tools.benchmark.model import StepTimer, peak_memory
from tools.benchmark.random_dataset import write_random_dataset

_WARM_UP_STEPS = 3


def measure(
    dataset_dir: str | None, users: int, name: str, steps: int, **pipeline_arguments
) -> dict:
    """Trains on the same batches from memory and from the dataset.

    Args:
        dataset_dir, users: As `input.measure`.
        name: A model's name, with its default hyperparameters.
        steps: How many different batches there are.
        pipeline_arguments: As `BatchPipeline`'s.

    Returns:
        Medians of the seconds of a step, and "input_overhead": how much longer all
        steps took that read the dataset, as a fraction of those from memory.
    """
    with tempfile.TemporaryDirectory() as folder:
        if dataset_dir is None:
            write_random_dataset(Path(folder), num_users=users)
        pipeline = BatchPipeline(
            SequenceDataset.open(dataset_dir or folder), **pipeline_arguments
        )
        keras.utils.set_random_seed(1)
        model = build_model(name, pipeline, {})
        compile_model(model, learning_rate=1e-3, l2=1e-5)
        pipeline = fit_pipeline(pipeline, model)
        batches = pipeline.train_from(0).take(_WARM_UP_STEPS + steps)
        # The first time through fills the memory.
        _, from_memory = _time_steps(model, batches.cache(), 2, steps)
        (from_dataset,) = _time_steps(model, batches, 1, steps)
    return {
        "model": name,
        "seconds_per_step": round(statistics.median(from_dataset), 4),
        "seconds_per_step_from_memory": round(statistics.median(from_memory), 4),
        "input_overhead": round(sum(from_dataset) / sum(from_memory) - 1, 4),
        "steps": steps,
        "peak_memory_mib": peak_memory(),
        "dataset": pipeline.dataset.info.name,
        "batch_size": pipeline.batch_size,
        "history_groups": pipeline.num_groups,
    }


def _time_steps(model, batches, times, steps):
    """Seconds of each step, for each time that `fit` goes through the batches."""
    timer = StepTimer(math.inf)
    each = _WARM_UP_STEPS + steps
    model.fit(
        batches.prefetch(4).repeat(times),
        steps_per_epoch=times * each,
        shuffle=False,
        verbose=0,
        callbacks=[timer],
    )
    seconds = []
    for last in range(each, len(timer.ends) + 1, each):
        ends = timer.ends[last - steps - 1 : last]
        seconds.append([b - a for a, b in itertools.pairwise(ends)])
    return seconds
