"""The order in which training reads the targets."""

import dataclasses

import numpy as np
import tensorflow as tf
from support.builders import make_record, rec, write_dataset
from support.rows import read_epoch, targets_of, to_numpy

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.data.schema import TASKS


def users(batches):
    return [batch["rec"]["user"].tolist() for batch in batches]


def assert_equal(found, expected):
    for a, b in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        np.testing.assert_array_equal(a, b)


def test_seed_and_epoch_decide_the_order(pipeline, epoch, two_epochs):
    assert users(two_epochs[len(epoch) :]) != users(epoch)
    other = dataclasses.replace(pipeline, tasks=("rec",), seed=1)
    assert users(read_epoch(other)) != users(epoch)


def test_resuming_gives_what_would_have_come(pipeline, epoch, two_epochs):
    tf.random.set_seed(5)  # Must not matter.
    expected = two_epochs[len(epoch) + 2 :]
    resumed = pipeline.train_from(1, 2).take(len(expected))
    assert_equal(to_numpy(resumed), expected)


def test_train_is_one_epoch_in_another_order_each_time(pipeline, records):
    dataset = pipeline.train()
    steps = pipeline.steps_per_epoch()
    assert dataset.cardinality().numpy() == steps
    epochs = [to_numpy(dataset) for _ in range(3)]
    for batches in epochs:
        assert len(batches) == steps
        for task in TASKS:
            found = [i for b in batches for i in b[task]["candidates"][:, 0].tolist()]
            expected = [
                int(record.target_item[target])
                for record, target in targets_of(records[0], task, "train")
            ]
            assert sorted(found) == sorted(expected)
    orders = [users(batches) for batches in epochs]
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_a_seed_repeats_the_epochs_of_train(pipeline):
    pipeline = dataclasses.replace(pipeline, tasks=("rec",))
    first, again = pipeline.train(), pipeline.train()
    expected = [to_numpy(first) for _ in range(2)]
    assert_equal([to_numpy(again) for _ in range(2)], expected)
    other = dataclasses.replace(pipeline, seed=1).train()
    assert users(to_numpy(other)) != users(expected[0])


def test_train_of_replicas_has_their_elements(pipeline):
    whole = dataclasses.replace(pipeline, num_groups=1)
    replicated = dataclasses.replace(whole, num_replicas=2)
    dataset = replicated.train()
    elements = 2 * whole.steps_per_epoch()
    assert dataset.cardinality().numpy() == elements
    assert sum(1 for _ in dataset) == elements


def test_neighbours_are_of_different_users(tmp_path):
    records = [
        make_record(
            user,
            [rec(time, 20 * user + time) for time in range(1, 11)],
            [(i, "train", 20 * user + i + 1) for i in range(10)],
        )
        for user in range(1, 201)
    ]
    write_dataset(tmp_path, records, num_items=20 * 201, queries=[])
    pipeline = BatchPipeline(
        SequenceDataset.open(tmp_path), 256, tasks=("rec",), num_groups=1
    )
    batches = read_epoch(pipeline)
    found = np.concatenate(
        [batch["rec"]["user"][batch["rec"]["is_target"]] for batch in batches]
    )
    assert len(found) == 2000
    # By chance one in 200 neighbours is of the same user.
    assert np.mean(found[1:] == found[:-1]) < 0.02
