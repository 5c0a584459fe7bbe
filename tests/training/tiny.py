"""A model and batches that train in a moment."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from sar_tf import models
from sar_tf.spec import DataSpec
from sar_tf.training.compile import compile_model

STEPS = 5
SPEC = DataSpec(
    num_users=3,
    num_items=6,
    num_words=1,
    num_queries=1,
    num_search_sources=1,
    max_rec_history=1,
    max_search_history=1,
    max_query_words=1,
    max_clicked_items=1,
)


class Tiny(models.Model):
    """Scores candidates by one dense layer, with dropout; item 0 is infinite.

    Args:
        rate: Dropout rate.
    """

    tasks = ("rec",)

    def __init__(self, spec, tables=None, *, rate: float = 0.5, **kwargs):
        super().__init__(spec, tables, **kwargs)
        self.dropout = keras.layers.Dropout(rate)
        self.dense = keras.layers.Dense(1)

    def encode_target(self, inputs):
        candidates = inputs["candidates"]
        x = ops.one_hot(candidates, self.spec.num_items + 1)
        return {"candidates": ops.where(candidates[..., None] > 0, x, np.inf)}

    def read(self, task, encoded, target, training):
        return self.dropout(target["candidates"], training=training)

    def logits(self, task, rows, training):
        return ops.squeeze(self.dense(rows), -1)


def make_model(learning_rate=0.1, **arguments):
    """A compiled model; all of one seed are alike."""
    keras.utils.set_random_seed(1)
    model = Tiny(SPEC)
    compile_model(model, learning_rate, l2=0.0, **arguments)
    return model


@dataclasses.dataclass
class Candidates:
    """Batches of random candidates, as `BatchPipeline` gives batches.

    Those of one training step may be infinite.
    """

    infinite: int = -1
    worker: int = 0
    replicas_of_worker: int = 1

    def steps_per_epoch(self, split="train"):
        return STEPS if split == "train" else 3

    def train_from(self, epoch, step=0):
        numbers = tf.data.Dataset.counter(STEPS * epoch + step)
        return numbers.map(self.make_batch)

    def evaluate(self, split):
        return tf.data.Dataset.range(1000, 1003).map(self.make_batch)

    def make_batch(self, number):
        """The batch of a step; of validation from 1000 on."""
        number = tf.cast(number, tf.int64)
        candidates = tf.random.stateless_uniform(
            (8, 6), tf.stack([number, 1]), 1, SPEC.num_items + 1, tf.int32
        )
        candidates = tf.where(tf.equal(number, self.infinite), 0, candidates)
        rows = {"history_row": tf.range(8), "is_target": tf.fill([8], True)}
        return {"rec": {"candidates": candidates, **rows}}
