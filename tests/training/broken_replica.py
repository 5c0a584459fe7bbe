"""Two replicas, of which the second has a batch with an infinite loss.

python broken_replica.py RUN_DIR
"""

import sys

import keras
import numpy as np
import tensorflow as tf
from tiny import SPEC, Candidates, Tiny

from sar_tf.training import callbacks, loop, strategy
from sar_tf.training.compile import compile_model
from sar_tf.training.config import RunConfig
from sar_tf.training.run_directory import RunDirectory

REPLICAS = 2


class Elements(Candidates):
    """Each replica takes an element of the dataset a step."""

    def train_from(self, epoch, step=0):
        return super().train_from(epoch, step * REPLICAS)


def main(folder):
    (cpu,) = tf.config.list_physical_devices("CPU")
    devices = [tf.config.LogicalDeviceConfiguration()] * REPLICAS
    tf.config.set_logical_device_configuration(cpu, devices)
    chosen = strategy.make_strategy("mirrored")
    assert strategy.make_strategy("one_device").num_replicas_in_sync == 1
    keras.utils.set_random_seed(1)
    with chosen.scope():
        model = Tiny(SPEC)
        compile_model(model, 0.1, l2=0.0)
    run_dir = RunDirectory(folder)
    run_dir.start(RunConfig())
    # The sixth element is the second replica's at the third step.
    pipeline = Elements(infinite=5, replicas_of_worker=REPLICAS)
    try:
        loop.fit(model, pipeline, run_dir, epochs=1, verbose="none")
    except callbacks.TrainingError as error:
        print(error)
    with np.load(run_dir.broken_batch()) as batch:
        for name in ("0/rec/candidates", "1/rec/candidates"):
            print(name, "is finite" if batch[name].all() else "is infinite")


if __name__ == "__main__":
    main(sys.argv[1])
