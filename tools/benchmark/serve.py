"""How fast an exported model ranks the candidates of users' requests."""

import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from sar_tf.serving.export import dense_signature, export
from tools.benchmark.model import make_model, peak_memory

_WARM_UP_CALLS = 3
_FEWEST_CALLS = 20


def measure(name, batches, *, seconds, batch_size=256):
    """Calls a SavedModel's signatures with 100 candidates a request.

    Args:
        name: A model's name, with its default hyperparameters.
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
            rank = signatures[f"rank_{task}_dense"]
            requests = _requests(model, task, batches.evaluate([1] * 16))
            times = _time_calls(rank, requests, each)
            latency[task] = {
                "median": round(1000 * float(np.median(times)), 2),
                "p95": round(1000 * float(np.quantile(times, 0.95)), 2),
            }
            requests = _requests(model, task, batches.evaluate([batch_size]))
            times = _time_calls(rank, requests, each)
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


def _time_calls(rank, requests, seconds):
    """Seconds of each call, after the first ones, from inputs to scores in NumPy."""
    times = []
    while len(times) < _WARM_UP_CALLS + _FEWEST_CALLS or (
        sum(times[_WARM_UP_CALLS:]) < seconds
    ):
        features = requests[len(times) % len(requests)]
        began = time.perf_counter()
        rank(**{n: tf.constant(a) for n, a in features.items()})["scores"].numpy()
        times.append(time.perf_counter() - began)
    return times[_WARM_UP_CALLS:]


def _requests(model, task, batches):
    """The targets of batches as a signature takes them, each with its history."""
    names = dense_signature(task, model)
    requests = []
    for batch in batches:
        rows = batch[task]["history_row"]
        flat = {
            name: array[rows]
            for name, array in batch.get("history", {}).items()
            if name in names
        }
        flat |= batch[task]
        requests.append({name: flat[name] for name in names})
    return requests
