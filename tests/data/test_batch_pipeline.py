"""Which targets the batches hold, with which histories."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from support.builders import make_record, rec, search, write_dataset
from support.rows import check_row, read_epoch, rows_of, targets_of, to_numpy

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.dataset_info import DatasetError
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.data.schema import TASKS


def stored_candidates(record, target):
    evaluated = np.flatnonzero(record.target_split)
    stored = record.candidates.reshape(-1, 99)
    return stored[np.flatnonzero(evaluated == target)[0]]


def check_evaluated(batches, records, split):
    """Asserts that batches have the targets of these records, in their order."""
    for task in TASKS:
        expected = iter(targets_of(records, task, split))
        for batch in batches:
            inputs = batch[task]
            for row, history in enumerate(rows_of(batch, task)):
                if not inputs["is_target"][row]:
                    continue
                record, target = next(expected)
                check_row(inputs, row, history, record, target)
                np.testing.assert_array_equal(
                    inputs["candidates"][row][1:], stored_candidates(record, target)
                )
        assert next(expected, None) is None


@pytest.mark.parametrize("num_groups", [4, 1])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_evaluation_is_exact_and_in_order(pipeline, records, split, num_groups):
    pipeline = dataclasses.replace(pipeline, num_groups=num_groups)
    batches = to_numpy(getattr(pipeline, split)())
    assert len(batches) == pipeline.steps_per_epoch(split)
    check_evaluated(batches, records[0], split)
    sizes = [batch["rec"]["is_target"].sum() for batch in batches]
    assert max(sizes) - min(sizes) <= 1 and max(sizes) <= 16


def test_batches_of_evaluation_have_a_size_of_their_own(pipeline, records):
    smaller = dataclasses.replace(pipeline, evaluation_batch_size=5)
    assert smaller.steps_per_epoch("test") > pipeline.steps_per_epoch("test")
    assert smaller.steps_per_epoch() == pipeline.steps_per_epoch()
    batches = to_numpy(smaller.test())
    assert all(len(batch["rec"]["user"]) <= 5 for batch in batches)
    check_evaluated(batches, records[0], "test")


@pytest.mark.parametrize("num_groups", [4, 1])
def test_evaluation_of_some_users(pipeline, records, num_groups):
    pipeline = dataclasses.replace(pipeline, num_groups=num_groups)
    numbers = [60, 2, 7, 31, 32]
    users = [f"user-{number:04d}" for number in numbers]
    chosen = [records[0][number - 1] for number in sorted(numbers)]
    batches = pipeline.evaluate("test", users=users)
    found = to_numpy(batches)
    assert len(found) == batches.cardinality().numpy()
    check_evaluated(found, chosen, "test")
    check_evaluated(to_numpy(pipeline.validation(iter(users))), chosen, "validation")


def test_users_who_are_not_there_or_have_no_target(pipeline, records):
    with pytest.raises(DatasetError, match="has no user user-0061, user-9999"):
        pipeline.test(users=["user-9999", "user-0001", "user-0061"])
    without = next(r for r in records[0] if not np.any(r.target_split == 2))
    with pytest.raises(DatasetError, match="has no test targets"):
        pipeline.test(users=[f"user-{without.user:04d}"])
    with pytest.raises(DatasetError, match="has no test targets"):
        pipeline.test(users=[])


def test_every_training_target_once_an_epoch_with_its_own_history(
    pipeline, records, epoch
):
    for task in TASKS:
        # Every positive occurs once in this dataset, so it tells the target.
        expected = {
            int(record.target_item[target]): (record, target)
            for record, target in targets_of(records[0], task, "train")
        }
        for batch in epoch:
            inputs = batch[task]
            for row, history in enumerate(rows_of(batch, task)):
                record, target = expected.pop(int(inputs["candidates"][row, 0]))
                check_row(inputs, row, history, record, target)
                assert not np.isin(
                    inputs["candidates"][row, 1:], record.user_items
                ).any()
        assert not expected


def test_both_tasks_end_together_in_even_steps(pipeline, records, epoch):
    for task in TASKS:
        sizes = [len(batch[task]["user"]) for batch in epoch]
        assert sum(sizes) == len(targets_of(records[0], task, "train"))
        assert max(sizes) - min(sizes) <= 1
        assert max(sizes) <= 16


def test_task_with_fewer_targets_than_steps_or_none(tmp_path):
    behaviors = [rec(time, time) for time in range(1, 8)] + [search(8, 1, [8])]
    targets = [(i, "train", i + 1) for i in range(7)] + [(7, "train", 8)]
    targets[5:7] = [(5, "validation", 6), (6, "validation", 7)]
    write_dataset(tmp_path, [make_record(1, behaviors, targets)], 200, [[1]])
    pipeline = BatchPipeline(SequenceDataset.open(tmp_path), batch_size=2)
    batches = read_epoch(pipeline)
    assert [len(batch["rec"]["user"]) for batch in batches] == [1, 2, 2]
    assert [len(batch["search"]["user"]) for batch in batches] == [0, 0, 1]
    empty = batches[0]["search"]
    assert empty["candidates"].shape == (0, 5)
    assert empty["query_words"].shape == (0, 1)
    assert empty["history_row"].shape == (0,)
    assert batches[0]["history"]["group_ends"].tolist() == [0, 0, 1]
    (validation,) = to_numpy(pipeline.evaluate("validation"))
    assert len(validation["rec"]["user"]) == 2
    assert validation["search"]["candidates"].shape == (0, 100)
    with pytest.raises(ValueError, match="has no test targets"):
        pipeline.evaluate("test")


def test_more_searches_than_recommendations(tmp_path):
    behaviors = [search(time, 1, [time]) for time in range(1, 11)] + [rec(11, 11)]
    targets = [(i, "train", i + 1) for i in range(11)]
    write_dataset(tmp_path, [make_record(1, behaviors, targets)], 20, [[1]])
    pipeline = BatchPipeline(SequenceDataset.open(tmp_path), batch_size=4)
    batches = read_epoch(pipeline)
    assert [len(batch["search"]["user"]) for batch in batches] == [3, 3, 4]
    assert [len(batch["rec"]["user"]) for batch in batches] == [0, 0, 1]


def test_one_task_only(pipeline, records):
    alone = dataclasses.replace(pipeline, tasks=("search",))
    batches = read_epoch(alone)
    assert all(batch.keys() == {"history", "search"} for batch in batches)
    number = len(targets_of(records[0], "search", "train"))
    assert sum(len(batch["search"]["user"]) for batch in batches) == number
    assert alone.steps_per_epoch() == -(-number // 16)


def test_bad_arguments(pipeline):
    with pytest.raises(ValueError, match="tasks must be some of"):
        dataclasses.replace(pipeline, tasks=("rec", "both"))
    with pytest.raises(ValueError, match="batch_size must be 1 or more, got 0"):
        dataclasses.replace(pipeline, batch_size=0)
    with pytest.raises(ValueError, match="needs names weather"):
        dataclasses.replace(pipeline, needs=("user", "weather"))


def test_records_that_contradict_the_info_fail(pipeline):
    info = dataclasses.replace(
        pipeline.dataset.info, targets={"rec": {"train": 10_000}}
    )
    dataset = SequenceDataset(pipeline.dataset.dataset_dir, info)
    wrong = dataclasses.replace(pipeline, dataset=dataset, tasks=("rec",))
    with pytest.raises(tf.errors.FailedPreconditionError):
        read_epoch(wrong)
    with pytest.raises(tf.errors.FailedPreconditionError):
        list(wrong.train())
