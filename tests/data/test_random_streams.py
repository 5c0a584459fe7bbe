"""Random draws of training: none repeats where it is another one."""

import numpy as np
import pytest
import tensorflow as tf
from support.builders import make_record, rec, search, write_dataset
from support.rows import to_numpy

from sar_tf.data import records, targets
from sar_tf.data.batches import list_pairs
from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.data.schema import TASKS, parse_records
from sar_tf.data.targets import TargetReader

USERS, NUM_ITEMS = 64, 9999
QUERIES = [[query] for query in range(1, 1000)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Users who all know items 1 and 2: equal draws give them equal negatives."""
    folder = tmp_path_factory.mktemp("dataset")
    behaviors = [rec(1, 1), search(2, 1, [2])]
    chosen = [(0, "train", 1), (1, "train", 2)]
    users = [make_record(user, behaviors, chosen) for user in range(1, USERS + 1)]
    write_dataset(folder, users, NUM_ITEMS, QUERIES, num_shards=4)
    return SequenceDataset.open(folder)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 16 users, whose targets are cut by fours."""
    monkeypatch.setattr(records, "_BLOCK_USERS", (16, 16))
    monkeypatch.setattr(targets, "_CUT_TOGETHER", 4)


def test_no_target_has_the_negatives_of_another(dataset, small_blocks):
    """Of another chunk, block, task, worker or epoch."""
    found = []
    for worker, epoch in ((0, 0), (1, 0), (0, 1)):
        reader = TargetReader(
            dataset, 1, 1, 1, 4, reads_history=False, worker=worker, num_workers=2
        )
        for task in TASKS:
            seed = tf.constant([3, epoch], tf.int64)
            for rows in reader.read(task, "train", seed):
                found += [tuple(row[1:]) for row in rows["candidates"].numpy()]
    assert len(found) == 3 * len(TASKS) * USERS / 2
    assert len(set(found)) == len(found)


def test_each_step_and_task_samples_anew(dataset):
    names = ("sampled_items", "sampled_queries")
    pipeline = BatchPipeline(dataset, 16, needs=names, num_sampled=4)
    batches = to_numpy(pipeline.train_from(0).take(2 * pipeline.steps_per_epoch()))
    for name in names:
        found = [tuple(batch[task][name]) for batch in batches for task in TASKS]
        assert len(found) == 2 * 4 * len(TASKS)
        assert len(set(found)) == len(found), name


def test_records_are_shuffled_across_blocks(dataset, small_blocks):
    """A block of 16 users has some of each shard of 16, in another order."""
    seed = tf.constant([3, 4], tf.int64)
    for block in records.read_blocks(dataset, seed):
        users = parse_records(block, ["user"])["user"].numpy()
        assert len(set((users - 1) // 16)) == 4
        runs = np.count_nonzero(np.diff(users) != 1) + 1
        assert runs > len(users) / 2


def pairs_of(clicked_items, queries, num_items):
    rows = {
        "clicked_items": tf.constant(clicked_items, tf.int32),
        "search_queries": tf.constant(queries, tf.int32),
    }
    words = tf.reshape(tf.range(20, dtype=tf.int32), [10, 2])
    found = list_pairs(rows, words, num_items, distinct=True)
    names = ("pair_queries", "pair_items", "pair_counts")
    columns = [found[name].numpy().tolist() for name in names]
    np.testing.assert_array_equal(found["pair_query_words"], words.numpy()[columns[0]])
    return {pair[:2]: pair[2] for pair in zip(*columns, strict=True)}


def test_pairs_of_the_highest_item_and_of_the_next_query():
    clicked = [[[5, 1], [5, 0]], [[1, 5], [0, 0]]]
    queries = [[8, 9], [9, 0]]
    expected = {(8, 5): 1, (8, 1): 1, (9, 5): 2, (9, 1): 1}
    assert pairs_of(clicked, queries, num_items=5) == expected
