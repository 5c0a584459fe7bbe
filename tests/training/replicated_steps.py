"""Trains and evaluates on some replicas; a process of its own, for its devices.

python replicated_steps.py DATASET_DIR OUTPUT.json
"""

import json
import sys

import keras
import numpy as np
import tensorflow as tf

from sar_tf import models
from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.training import loop, strategy
from sar_tf.training.build import build_model

STEPS = 3


def make(dataset, model_name, num_replicas, **hyperparameters):
    """A model, and the pipeline of its batches, on so many logical CPUs."""
    keras.utils.set_random_seed(1)
    devices = [f"CPU:{index}" for index in range(num_replicas)]
    chosen = strategy.make_strategy("mirrored", devices=devices)
    pipeline = BatchPipeline(
        dataset,
        batch_size=50,
        tasks=models.get(model_name).tasks,
        max_rec_history=4,
        max_search_history=4,
        num_sampled=20,
        num_groups=1,
        num_replicas=num_replicas,
    )
    with chosen.scope():
        model = build_model(model_name, pipeline, hyperparameters)
        loop.compile_model(model, 1e-2, 1e-5, clip_norm=0.5)
    return model, pipeline


def train(model, pipeline):
    """Some steps: the logs."""
    model.train_function.begin(STEPS)
    history = model.fit(
        strategy.distribute(model.distribute_strategy, lambda _: pipeline.train()),
        steps_per_epoch=STEPS,
        verbose=0,
    ).history
    return {name: values[-1] for name, values in history.items()}


def compare(dataset, output):
    results = {}
    for num_replicas in (1, 2, 4):
        model, pipeline = make(dataset, "sesrec", num_replicas, dropout=0.0)
        before = model.get_weights()
        results[num_replicas] = {
            "train": train(model, pipeline),
            "test": loop.evaluate(model, pipeline, "test", verbose=0),
            "weights": [w.ravel().tolist() for w in model.get_weights()],
            "before": [w.ravel().tolist() for w in before],
        }
    for num_replicas in (1, 2):
        model, pipeline = make(dataset, "unisar", num_replicas, dropout=0.0)
        results[f"unisar {num_replicas}"] = {"train": train(model, pipeline)}
    return results


if __name__ == "__main__":
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 4
    )
    results = compare(SequenceDataset.open(sys.argv[1]), sys.argv[2])
    for key, r in results.items():
        print(key, r["train"], r.get("test", {}).get("rec", {}).get("MRR"))
        if "weights" in r:
            d = np.concatenate(
                [np.abs(np.array(a) - np.array(b)) for a, b in zip(r["weights"], results[1]["weights"], strict=True)]
            )
            print(d.max(), np.quantile(d, .999), np.median(d), (d > 1e-5).mean())
    with open(sys.argv[2], "w") as file:
        json.dump(results, file)
