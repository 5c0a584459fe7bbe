"""Trains some steps on 1, 2 and 4 replicas; a process of its own, for its devices.

python replicated_steps.py DATASET_DIR OUTPUT.npz
"""

import dataclasses
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


def train(dataset, model_name, num_replicas, **hyperparameters):
    devices = [f"CPU:{index}" for index in range(num_replicas)]
    keras.utils.set_random_seed(1)
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
        model = build_model(model_name, pipeline, {"dropout": 0.0, **hyperparameters})
        loop.compile_model(model, 1e-2, 1e-5)
    model.train_function = strategy.Executor(model, model.train_step, False)
    model.train_function.begin(STEPS)
    model.test_function = strategy.Executor(model, model.test_step, False)
    model.test_function.begin(pipeline.steps_per_epoch("validation"))
    batches = strategy.distribute(
        chosen, lambda worker: dataclasses.replace(pipeline, worker=worker).train()
    )
    history = model.fit(batches, steps_per_epoch=STEPS, verbose=0).history
    validation = strategy.distribute(chosen, lambda worker: pipeline.evaluate("validation"))
    logs = model.evaluate(validation, steps=pipeline.steps_per_epoch("validation"), return_dict=True, verbose=0)
    return [w.numpy() for w in model.trainable_variables], {k: v[-1] for k, v in history.items()}, logs


if __name__ == "__main__":
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 4
    )
    dataset = SequenceDataset.open(sys.argv[1])
    w1, h1, l1 = train(dataset, "unisar", 1)
    for n in (2,):
        w, h, l = train(dataset, "unisar", n)
        print(n, max(np.abs(a - b).max() for a, b in zip(w1, w)))
        for k in h1: print(k, h1[k], h[k])
        for k in l1: print(k, l1[k], l[k])
