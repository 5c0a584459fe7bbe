"""The rank of every target of a split, under any strategy."""

import dataclasses

import numpy as np
import tensorflow as tf

from sar_tf.data.records import iterate_blocks
from sar_tf.data.schema import parse_records
from sar_tf.metrics.ranking import rank_of_first
from sar_tf.training.loop import evaluation_batches
from sar_tf.training.strategy import Workers


def rank_targets(model, pipeline, splits):
    """Ranks the stored candidates of every target of some splits.

    All workers of a strategy call this, and all get the same.

    Args:
        model: A built and compiled model.
        pipeline: The `BatchPipeline`.
        splits: "validation", "test" or both.

    Returns:
        For each split "user" (dense id), "task" ("rec", "search") and "rank" of every
        target: first all of one task, then all of the next, each in the order of the
        records.
    """
    strategy = model.distribute_strategy
    # Whose target it is, the model may not need to know.
    needs = {*model.needs, "user"}
    pipeline = dataclasses.replace(pipeline, needs=tuple(sorted(needs)))
    rank_step = _rank_step(model)

    @tf.function(reduce_retracing=True)
    def rank_next(iterator):
        return strategy.run(rank_step, args=(next(iterator),))

    return {
        split: _join(
            _rank_split(rank_next, model, pipeline, split),
            Workers(strategy),
            pipeline.dataset,
        )
        for split in splits
    }


def _rank_split(rank_next, model, pipeline, split):
    """[user, rank] (targets, 2) of each task, of this worker's targets."""
    strategy = model.distribute_strategy
    iterator = iter(evaluation_batches(strategy, pipeline, split))
    found = {task: [] for task in model.tasks}
    for _ in range(pipeline.steps_per_epoch(split)):
        for task, rows in rank_next(iterator).items():
            # A step's elements are the replicas', in the order of the records.
            for own in strategy.experimental_local_results(rows):
                user, rank, is_target = own.numpy().T
                found[task].append(np.stack([user, rank], axis=1)[is_target > 0])
    return {task: np.concatenate(rows) for task, rows in found.items()}


def _rank_step(model):
    """Makes a function from a batch to each task's [user, rank, is_target] (B, 3)."""

    def rank(batch):
        rows = {}
        for task, outputs in model(batch, training=False).items():
            user = batch[task]["user"]
            is_target = tf.cast(
                batch[task].get("is_target", tf.ones_like(user)), tf.int32
            )
            ranks = rank_of_first(outputs["scores"])
            rows[task] = tf.stack([user, ranks, is_target], axis=1)
        return rows

    return tf.function(rank, jit_compile=True) if model.jit_compile else rank


def _join(found, workers, dataset):
    """The targets of all workers, which read a share of the records each."""
    columns = {name: [] for name in ("user", "task", "rank")}
    order = _record_order(dataset) if workers.are_many else None
    for task, rows in found.items():
        user, rank = workers.gather(rows).T
        if order is not None:
            place = np.argsort(order[user], kind="stable")
            user, rank = user[place], rank[place]
        columns["user"].append(user)
        columns["task"].append(np.full(len(user), task))
        columns["rank"].append(rank)
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def _record_order(dataset):
    """The place of each user among the records, by dense id."""
    order = np.zeros(dataset.info.num_users + 1, np.int64)
    users = [
        parse_records(serialized, ("user",))["user"].numpy()
        for serialized in iterate_blocks(dataset)
    ]
    users = np.concatenate(users)
    order[users] = np.arange(len(users))
    return order
