"""How fast an exported model answers users' requests."""

import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import sar_tf
from sar_tf import models
from sar_tf.inputs import INPUTS
from sar_tf.needs import ALL_NEEDS
from sar_tf.serving.export import (
    dense_signature,
    export,
    raw_signature,
    retrieval_signature,
)
from tools.benchmark.model import peak_memory
from tools.benchmark.random_batches import RandomBatches
from tools.benchmark.random_dataset import write_random_dataset

_WARM_UP_CALLS = 10
_FEWEST_CALLS = 30
# Name of a case -> whether it takes raw ids, and the candidates of a request.
RETRIEVED = 100
CASES = {"dense_100": (False, 100), "dense_1000": (False, 1000), "raw_100": (True, 100)}


def measure(
    name, *, num_items, seconds, batch_sizes=(32, 256), catalogue_items=1_000_000
):
    """Calls a SavedModel's signatures with one request at a time, and with many.

    Args:
        name: A model's name, with its default hyperparameters.
        num_items: Items of the catalogue.
        seconds: How long to go on after the warm-ups.
        batch_sizes: Requests in a call, for the throughput.
        catalogue_items: Items of another model, whose best 100 are asked for by raw
            ids; one that ranks has a retrieval head.

    Returns:
        For each task and case the "p50" and "p99" of the milliseconds that a request
        takes, the median of its milliseconds of all processors, and the requests a
        second that are answered in calls of many.
    """
    with tempfile.TemporaryDirectory() as folder:
        model, served, batches = _export(name, Path(folder), num_items)
        each = seconds / len(model.tasks) / (len(CASES) + len(batch_sizes))
        latency, throughput = {}, {}
        for task in model.tasks:
            latency[task], throughput[task] = {}, {}
            for case, (is_raw, num_candidates) in CASES.items():
                requests = [
                    (_raw_request if is_raw else _dense_request)(model, task, batch)
                    for batch in batches.evaluate([1] * 16, num_candidates)
                ]
                signature = f"rank_{task}" if is_raw else f"rank_{task}_dense"
                times, processor_times = _time_calls(
                    served.signatures[signature], requests, each
                )
                latency[task][case] = _milliseconds(times, processor_times)
            for size in batch_sizes:
                (batch,) = batches.evaluate([size])
                requests = [_dense_request(model, task, batch)]
                rank = served.signatures[f"rank_{task}_dense"]
                times, _ = _time_calls(rank, requests, each)
                seconds_per_call = float(np.median(times))
                throughput[task][str(size)] = round(size / seconds_per_call, 1)
    retrieval = _measure_retrieval(name, catalogue_items, seconds)
    return {
        "model": name,
        "backend": "tensorflow",
        "threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "milliseconds_per_request": latency,
        "milliseconds_per_retrieval": retrieval,
        "requests_per_second": throughput,
        "peak_memory_mib": peak_memory(),
        "items": num_items,
        "catalogue_items": catalogue_items,
    }


def _measure_retrieval(name, num_items, seconds):
    """For each task the milliseconds that the best items of the catalogue take."""
    has_head = not models.get(name).has_own_vectors
    head = {"retrieval_weight": 0.1} if has_head else {}
    with tempfile.TemporaryDirectory() as folder:
        model, served, batches = _export(name, Path(folder), num_items, **head)
        found = {}
        for task in model.tasks:
            requests = [
                {
                    **_raw_request(model, task, batch, retrieval_signature),
                    "k": np.int32(RETRIEVED),
                    "excluded_items": np.array([[""]]),
                }
                for batch in batches.evaluate([1] * 16, 2)
            ]
            times = _time_calls(
                served.signatures[f"retrieve_{task}"],
                requests,
                seconds / len(model.tasks) / 4,
            )
            found[task] = _milliseconds(*times)
    return found


def _milliseconds(times, processor_times):
    return {
        "p50": round(1000 * float(np.median(times)), 2),
        "p99": round(1000 * float(np.quantile(times, 0.99)), 2),
        # Other programs on the machine hardly change this.
        "processor": round(1000 * float(np.median(processor_times)), 2),
    }


def _export(name, folder, num_items, **hyperparameters):
    """The model, the loaded SavedModel and random batches."""
    data = _random_data(folder / "data", num_items)
    keras.utils.set_random_seed(1)
    model = models.get(name)(data.spec, data.tables, **hyperparameters)
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        # Biases of 0 would be left out of the graph.
        variable.assign(variable + rng.normal(0, 0.01, variable.shape))
    export(model, folder / "1", data)
    served = tf.saved_model.load(folder / "1")
    batches = RandomBatches(model.tasks, num_groups=1, spec=data.spec, needs=ALL_NEEDS)
    # The signatures' variables live as long as what was loaded.
    return model, served, batches


def _random_data(folder, num_items):
    folder.mkdir()
    write_random_dataset(
        folder, num_users=64, max_behaviors=20, num_items=num_items, num_queries=3000
    )
    return sar_tf.open_dataset(folder, max_clicked_items=1)


def _time_calls(rank, requests, seconds):
    """Seconds of each call, from inputs to scores in NumPy, and processor seconds."""
    times, processor_times = [], []
    while len(times) < _WARM_UP_CALLS + _FEWEST_CALLS or (
        sum(times[_WARM_UP_CALLS:]) < seconds
    ):
        features = requests[len(times) % len(requests)]
        began, processor_began = time.perf_counter(), time.process_time()
        rank(**{n: tf.constant(a) for n, a in features.items()})["scores"].numpy()
        times.append(time.perf_counter() - began)
        processor_times.append(time.process_time() - processor_began)
    return times[_WARM_UP_CALLS:], processor_times[_WARM_UP_CALLS:]


def _dense_request(model, task, batch):
    """The targets of a batch as a dense signature takes them, each with its history."""
    rows = batch[task]["history_row"]
    arrays = {
        name: array[rows]
        for name, array in batch["history"].items()
        if INPUTS[name].part == "history"
    }
    arrays |= batch[task]
    return {name: arrays[name] for name in dense_signature(task, model)}


def _raw_request(model, task, batch, signature=raw_signature):
    """The one target of a batch as raw ids: those of the random dataset's files."""
    history = {name: x[0] for name, x in batch["history"].items()}
    target = {name: x[0] for name, x in batch[task].items()}
    recs = np.count_nonzero(history["rec_items"])
    searches = np.count_nonzero(history["search_mask"])
    empty = [""] * recs
    arrays = {
        "history_types": ["rec"] * recs + ["search"] * searches,
        "history_times": [
            *history["rec_positions"][:recs].tolist(),
            *history["search_positions"][:searches].tolist(),
        ],
        "history_items": [*_raw(history["rec_items"][:recs]), *[""] * searches],
        "history_queries": empty
        + [" ".join(_raw(words)) for words in history["search_words"][:searches]],
        "history_sources": [""] * (recs + searches),
        "history_clicked_items": [[""]] * recs
        + [_raw(items) for items in history["clicked_items"][:searches]],
        "user": _raw([target["user"]])[0],
        "query": " ".join(_raw(target["query_words"]))
        if "query_words" in target
        else "",
        "candidates": _raw(target["candidates"]),
        "time": recs + searches,
    }
    wanted = signature(task, model)
    return {n: np.array([array]) for n, array in arrays.items() if n in wanted}


def _raw(ids):
    """Raw ids of dense ids; 0 has none."""
    return [str(dense - 1) for dense in ids if dense]
