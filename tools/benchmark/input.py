"""How many training targets a second the input pipeline makes."""

import resource
import statistics
import tempfile
import time
from pathlib import Path

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.inputs import TASKS
from tools.benchmark.random_dataset import write_random_dataset

_WARM_UP_STEPS = 20
_INTERVALS = 10


def measure(
    dataset_dir: str | None,
    seconds: float,
    users: int = 5000,
    tasks: tuple[str, ...] = TASKS,
    needs: tuple[str, ...] | None = None,
) -> dict:
    """Reads training batches, with windows of 30 + 30 slots.

    Args:
        dataset_dir: A dataset; None makes one of random sequences, of 3 to 200
            behaviors a user, in a temporary folder.
        seconds: How long to read after the warm-up.
        users: How many the random dataset has.
        tasks, needs: As `BatchPipeline`'s.

    Returns:
        "targets_per_second", the median of ten intervals of equal length, the
        slowest and the fastest of them, "targets_per_processor_second", which other
        programs on the machine hardly change, the time to the first batch, and what was
        read.
    """
    with tempfile.TemporaryDirectory() as folder:
        if dataset_dir is None:
            write_random_dataset(Path(folder), num_users=users)
        pipeline = BatchPipeline(
            SequenceDataset.open(dataset_dir or folder), tasks=tasks, needs=needs
        )
        started = time.perf_counter(), time.process_time()
        batches = iter(pipeline.train_from(0))
        next(batches)
        first_batch = time.perf_counter() - started[0]
        first_processor_time = time.process_time() - started[1]
        for _ in range(_WARM_UP_STEPS):
            next(batches)
        processor_time = time.process_time()
        counts, rates = zip(
            *(_read(batches, tasks, seconds / _INTERVALS) for _ in range(_INTERVALS)),
            strict=True,
        )
        processor_time = time.process_time() - processor_time
        info = pipeline.dataset.info
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {
            "targets_per_second": round(statistics.median(rates)),
            "slowest_interval": round(min(rates)),
            "fastest_interval": round(max(rates)),
            "targets_per_processor_second": round(sum(counts) / processor_time),
            "seconds_to_first_batch": round(first_batch, 2),
            "processor_seconds_to_first_batch": round(first_processor_time, 2),
            "peak_memory_mib": round(peak / 1024),
            "dataset": info.name,
            "users": info.num_users,
            "behaviors": info.num_behaviors,
            "batch_size": pipeline.batch_size,
            "history_slots": pipeline.max_rec_history + pipeline.max_search_history,
        }


def _read(batches, tasks, seconds: float) -> tuple[int, float]:
    """Reads for a while: the number of targets, and of targets a second."""
    targets, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        batch = next(batches)
        targets += sum(len(batch[task]["candidates"]) for task in tasks)
    return targets, targets / (time.perf_counter() - started)
