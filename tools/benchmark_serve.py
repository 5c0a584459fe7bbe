"""How fast an exported model ranks the candidates of users' requests."""

import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from sar_tf.serving.export import export
from tools.benchmark_model import make_model, peak_memory

_WARM_UP_CALLS = 3
_FEWEST_CALLS = 20
_NOT_SENT = ("row", "is_target", "history")


def measure(name, batches, *, seconds, batch_size=256):
    """Calls a SavedModel's signatures with 100 candidates a request.

    Args:
        name: A registered model, with its default hyperparameters.
        batches: Its `RandomBatches`, of one group: what signatures take.
        seconds: How long to go on after the warm-ups.
        batch_size: Requests in a call, for the throughput.

    Returns:
        For each task "median" and "p95" of the milliseconds that one request takes, and
        the requests a second that are answered `batch_size` in a call.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "1"
        model = make_model(name, batches)
        export(model, path)
        signatures = tf.saved_model.load(path).signatures
        each = seconds / (2 * len(model.tasks))
        latency, throughput = {}, {}
        for task in model.tasks:
            rank = signatures[f"rank_{task}"]
            times = _time_calls(rank, batches.evaluate([1] * 16), task, each)
            latency[task] = {
                "median": round(1000 * float(np.median(times)), 2),
                "p95": round(1000 * float(np.quantile(times, 0.95)), 2),
            }
            times = _time_calls(rank, batches.evaluate([batch_size]), task, each)
            throughput[task] = round(batch_size / float(np.median(times)), 1)
    return {
        "model": name,
        "backend": "tensorflow",
        "milliseconds_per_request": latency,
        "requests_per_second": throughput,
        "requests_per_call": batch_size,
        "peak_memory_mib": peak_memory(),
        "items": batches.spec.num_items,
    }


def _time_calls(rank, batches, task, seconds):
    """Seconds of each call, after the first ones, from inputs to scores in NumPy."""
    requests = [_features(batch[task]) for batch in batches]
    times = []
    while len(times) < _WARM_UP_CALLS + _FEWEST_CALLS or (
        sum(times[_WARM_UP_CALLS:]) < seconds
    ):
        features = requests[len(times) % len(requests)]
        began = time.perf_counter()
        rank(**{n: tf.constant(a) for n, a in features.items()})["scores"].numpy()
        times.append(time.perf_counter() - began)
    return times[_WARM_UP_CALLS:]


def _features(inputs):
    """A task's inputs as a signature takes them: one flat dict."""
    flat = {n: v for n, v in inputs.items() if n not in _NOT_SENT}
    return flat | inputs["history"][0]
