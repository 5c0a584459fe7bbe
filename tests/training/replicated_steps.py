"""Some steps on replicas: a process of its own, for its devices and its collectives.

The same steps on one device first: python replicated_steps.py DATASET_DIR MODEL
NUM_REPLICAS OUTPUT.npz
"""

import sys

import keras
import numpy as np
import tensorflow as tf

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.layers.contrast import TransitionAlignment
from sar_tf.metrics.ranks import metrics_by_task
from sar_tf.training import strategy
from sar_tf.training.build import build_model, fit_pipeline
from sar_tf.training.compile import compile_model
from sar_tf.training.evaluation import rank_targets

STEPS = 3
# Adam turns a gradient that is only rounding into a step of this size.
LEARNING_RATE = 1e-3
# Without the split into similar and dissimilar, which rounding can flip.
# And with few operations, as tracing them is what takes the time.
HYPERPARAMETERS = {
    "unisar": {"num_experts": 1},
    "sesrec": {"ablation": "base", "prediction_units": (8,)},
}
ROWS = 10  # Of the views, which do not spread evenly over 3 replicas.


def train(dataset, model_name, chosen):
    """Trains and evaluates: weights, losses and metrics by name."""
    keras.utils.set_random_seed(1)
    pipeline = BatchPipeline(
        dataset,
        batch_size=50,
        max_rec_history=4,
        max_search_history=4,
        num_sampled=20,
        num_groups=1,
        num_replicas=chosen.num_replicas_in_sync,
    )
    with chosen.scope():
        hyperparameters = {"dropout": 0.0, **HYPERPARAMETERS[model_name]}
        model = build_model(model_name, pipeline, hyperparameters)
        compile_model(model, LEARNING_RATE, 1e-5, clip_norm=0.5)
    pipeline = fit_pipeline(pipeline, model)
    model.train_function.begin(STEPS)
    history = model.fit(
        strategy.distribute(chosen, lambda worker: pipeline.train_from(0)),
        steps_per_epoch=STEPS,
        shuffle=False,
        verbose=0,
    ).history
    results = {f"train/{name}": values[-1] for name, values in history.items()}
    if model_name == "sesrec":
        ranks = rank_targets(model, pipeline, ["test"])["test"]
        results |= {f"ranks/{name}": column for name, column in ranks.items()}
        for task, metrics in metrics_by_task(ranks).items():
            results |= {f"test/{task}_{name}": x for name, x in metrics.items()}
    for index, weight in enumerate(model.get_weights()):
        results[f"weights/{index}"] = weight
    return results


def align(chosen, negatives):
    """The transition loss of views that replicas share, and its gradients."""
    rng = np.random.default_rng(0)
    views = rng.normal(size=(2, ROWS, 4)).astype("float32")
    mask = np.arange(ROWS) != 6
    cuts = np.linspace(0, ROWS, chosen.num_replicas_in_sync + 1).astype(int)
    with chosen.scope():
        layer = TransitionAlignment(0.5, negatives)
        layer.build((None, 4))
    layer.kernel.assign(rng.normal(size=(4, 4)))

    def own(arrays):
        def rows(context):
            index = context.replica_id_in_sync_group
            return tf.constant(arrays[..., cuts[index] : cuts[index + 1], :])

        return chosen.experimental_distribute_values_from_function(rows)

    @tf.function
    def step(views, mask):
        def run(views, mask):
            variables = [v.value for v in layer.trainable_variables]
            with tf.GradientTape() as tape:
                tape.watch(views)
                losses = layer(views[0], views[1], mask[:, 0])
                losses = tf.where(mask[:, 0], losses, 0.0)
                loss = tf.reduce_sum(losses) / (ROWS - 1)
            gradients = tape.gradient(loss, [*variables, views])
            context = tf.distribute.get_replica_context()
            total = context.all_reduce("SUM", [loss, *gradients[:-1]])
            return [*total, context.all_gather(gradients[-1], axis=1)]

        return chosen.run(run, args=(views, mask))

    results = step(own(views), own(mask[:, None]))
    names = ("loss", "kernel", "temperature", "views")
    return {
        f"{negatives}/{name}": chosen.experimental_local_results(value)[0]
        for name, value in zip(names, results, strict=True)
    }


def main(dataset_dir, model_name, num_replicas, output):
    (cpu,) = tf.config.list_physical_devices("CPU")
    devices = [tf.config.LogicalDeviceConfiguration()] * int(num_replicas)
    tf.config.set_logical_device_configuration(cpu, devices)
    # What a graph optimizer changes is not the matter here.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    results = {}
    for name, replicas in (("one_device", 1), ("mirrored", int(num_replicas))):
        chosen = strategy.make_strategy(name)
        assert chosen.num_replicas_in_sync == replicas
        found = train(SequenceDataset.open(dataset_dir), model_name, chosen)
        for negatives in ("reference", "paper"):
            found |= align(chosen, negatives)
        results |= {f"{name}/{key}": value for key, value in found.items()}
    np.savez(output, **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
