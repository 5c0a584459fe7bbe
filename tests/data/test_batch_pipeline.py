import collections
import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf
from builders import (
    expected_history,
    make_record,
    random_records,
    rec,
    search,
    write_dataset,
)

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.data.schema import SPLITS, TASKS

LIMITS = {"max_rec_history": 4, "max_search_history": 3}


@pytest.fixture(scope="module")
def records():
    return random_records(num_users=60, max_behaviors=20)


@pytest.fixture(scope="module")
def pipeline(records, tmp_path_factory):
    dataset_dir = tmp_path_factory.mktemp("dataset")
    write_dataset(dataset_dir, *records, num_shards=3)
    return BatchPipeline(
        SequenceDataset.open(dataset_dir), batch_size=16, num_sampled=5, **LIMITS
    )


@pytest.fixture(scope="module")
def two_epochs(pipeline):
    return to_numpy(pipeline.train().take(2 * pipeline.steps_per_epoch()))


@pytest.fixture(scope="module")
def epoch(pipeline, two_epochs):
    return two_epochs[: pipeline.steps_per_epoch()]


def read_epoch(pipeline):
    return to_numpy(pipeline.train().take(pipeline.steps_per_epoch()))


def to_numpy(dataset):
    return [tf.nest.map_structure(lambda t: t.numpy(), batch) for batch in dataset]


def targets_of(records, task, split):
    """(record, index of the target), in the order of the records."""
    return [
        (record, target)
        for record in records
        for target in range(len(record.target_task))
        if record.target_task[target] == TASKS[task]
        and record.target_split[target] == SPLITS[split]
    ]


def groups_of(batch, task):
    """The groups of histories of a task, one history a row."""
    if "history_rows" not in batch[task]:
        return batch[task]["history"]
    histories = next(iter(batch.values()))["history"]
    return [
        {name: array[rows] for name, array in group.items()}
        for group, rows in zip(histories, batch[task]["history_rows"], strict=True)
    ]


def rows_of(batch, task):
    """Each row's history as lists without padding, in the order of the rows."""
    rows = []
    for group in groups_of(batch, task):
        for i in range(len(group["rec_items"])):
            recs = np.count_nonzero(group["rec_items"][i])
            mask = group["search_mask"][i]
            searches = np.count_nonzero(mask)
            assert mask[:searches].all() and not group["rec_items"][i][recs:].any()
            for name in ("search_queries", "search_words", "clicked_items"):
                assert not group[name][i][searches:].any()
            row = {
                name: group[name][i][: recs if "rec" in name else searches].tolist()
                for name in group
                if name != "search_mask"
            }
            for name in ("search_words", "clicked_items"):
                row[name] = [[v for v in ids if v] for ids in row[name]]
            rows.append(row)
    return rows


def check_row(inputs, row, history, record, target):
    assert inputs["user"][row] == record.user
    assert inputs["candidates"][row][0] == record.target_item[target]
    assert history == expected_history(record, target, 4, 3)
    if "query" in inputs:
        behavior = record.target_behavior[target]
        assert inputs["query"][row] == record.query[behavior]
        words = inputs["query_words"][row]
        assert words[words > 0].tolist() == record.query_words.rows()[behavior].tolist()


@pytest.mark.parametrize("split", ["validation", "test"])
def test_evaluation_is_exact_and_in_order(pipeline, records, split):
    batches = to_numpy(pipeline.evaluate(split))
    assert len(batches) == pipeline.steps_per_epoch(split)
    for task in TASKS:
        expected = iter(targets_of(records[0], task, split))
        for batch in batches:
            inputs = batch[task]
            histories = rows_of(batch, task)
            for row in np.argsort(inputs["row"]):
                record, target = next(expected)
                check_row(inputs, row, histories[row], record, target)
                evaluated = np.flatnonzero(record.target_split)
                stored = record.candidates.reshape(-1, 99)
                stored = stored[np.flatnonzero(evaluated == target)[0]]
                np.testing.assert_array_equal(inputs["candidates"][row][1:], stored)
        assert next(expected, None) is None


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


def test_shapes_and_types(pipeline, epoch):
    info = pipeline.dataset.info
    for task, inputs in epoch[0].items():
        size = len(inputs["user"])
        assert inputs["candidates"].shape == (size, 5)
        assert inputs["sampled_items"].shape == (5,)
        assert inputs["sampled_query_words"].shape == (5, info.max_query_words)
        assert inputs["sampled_items"].min() >= 1
        assert inputs["sampled_items"].max() <= info.num_items
        np.testing.assert_array_equal(
            inputs["sampled_query_words"],
            pipeline.query_words.numpy()[inputs["sampled_queries"]],
        )
        assert ("query" in inputs) == (task == "search")
        assert sum(len(rows) for rows in inputs["history_rows"]) == size
        for array in tf.nest.flatten(inputs):
            if array is inputs["pairs"]["counts"]:
                assert array.dtype == np.float32
            else:
                assert array.dtype in (np.int32, bool)
        group = groups_of(epoch[0], task)[-1]
        assert group["clicked_items"].shape[2] == info.max_clicked_items
        assert group["search_words"].shape[2] == info.max_query_words


def test_groups_are_as_wide_as_their_longest_history(epoch):
    for group in epoch[0]["rec"]["history"]:
        recs = (group["rec_items"] > 0).sum(1)
        searches = group["search_mask"].sum(1)
        assert group["rec_items"].shape[1] == max(recs.max(initial=0), 1)
        assert group["search_queries"].shape[1] == max(searches.max(initial=0), 1)


def test_groups_are_even_and_rows_sorted_by_history_length(epoch):
    for batch in epoch:
        sizes = [len(group["rec_items"]) for group in batch["rec"]["history"]]
        assert max(sizes) - min(sizes) <= 1
        for task in batch:
            lengths = [
                max(len(row["rec_items"]), len(row["search_queries"]))
                for row in rows_of(batch, task)
            ]
            assert lengths == sorted(lengths)


def test_targets_after_the_same_behaviors_share_a_history(records, epoch):
    ends = {
        (task, int(record.target_item[target])): (
            record.user,
            record.target_history_end[target],
        )
        for task in TASKS
        for record, target in targets_of(records[0], task, "train")
    }
    shared = 0
    for batch in epoch:
        assert "history" not in batch["search"]
        positives = [
            (task, int(item))
            for task, inputs in batch.items()
            for item in inputs["candidates"][:, 0]
        ]
        number = sum(len(group["rec_items"]) for group in batch["rec"]["history"])
        assert number == len({ends[positive] for positive in positives})
        shared += len(positives) - number
    assert shared > 0


def test_pairs_are_the_clicks_of_the_histories_counted(pipeline, epoch):
    for task, inputs in epoch[0].items():
        expected = collections.Counter(
            (query, item)
            for group in groups_of(epoch[0], task)
            for queries, clicked in zip(
                group["search_queries"], group["clicked_items"], strict=True
            )
            for query, items in zip(queries, clicked, strict=True)
            for item in items[items > 0]
        )
        pairs = inputs["pairs"]
        found = zip(pairs["queries"], pairs["items"], strict=True)
        assert dict(zip(found, pairs["counts"], strict=True)) == expected
        np.testing.assert_array_equal(
            pairs["query_words"], pipeline.query_words.numpy()[pairs["queries"]]
        )


def test_one_group_keeps_order_and_full_width(pipeline, epoch):
    whole = dataclasses.replace(pipeline, tasks=("search",), num_groups=1)
    dataset = whole.train()
    (group,) = dataset.element_spec["search"]["history"]
    info = pipeline.dataset.info
    assert group["rec_positions"].shape[1:] == [4]
    assert group["search_mask"].shape[1:] == [3]
    assert group["search_words"].shape[1:] == [3, info.max_query_words]
    trimmed = {
        positive: history
        for batch in epoch
        for positive, history in zip(
            batch["search"]["candidates"][:, 0], rows_of(batch, "search"), strict=True
        )
    }
    for batch in to_numpy(dataset.take(3)):
        inputs = batch["search"]
        np.testing.assert_array_equal(inputs["row"], np.arange(len(inputs["row"])))
        # Trimming has not changed anything, positions included.
        for positive, history, is_target in zip(
            inputs["candidates"][:, 0],
            rows_of(batch, "search"),
            inputs["is_target"],
            strict=True,
        ):
            if is_target:
                assert history == trimmed[positive]
        (group,) = inputs["history"]
        positions = np.hstack([group["rec_positions"], group["search_positions"]])
        positions = positions[inputs["is_target"]]
        np.testing.assert_array_equal(
            np.sort(positions), np.tile(np.arange(7), (len(positions), 1))
        )


def test_seed_and_epoch_decide_the_order(pipeline, epoch, two_epochs):
    def users(batches):
        return [batch["rec"]["user"].tolist() for batch in batches]

    assert users(two_epochs[len(epoch) :]) != users(epoch)
    other = dataclasses.replace(pipeline, tasks=("rec",), seed=1)
    assert users(read_epoch(other)) != users(epoch)


def test_resuming_gives_what_would_have_come(pipeline, epoch, two_epochs):
    tf.random.set_seed(5)  # Must not matter.
    expected = two_epochs[len(epoch) + 2 :]
    resumed = pipeline.train(start_epoch=1, start_step=2).take(len(expected))
    for a, b in zip(
        tf.nest.flatten(to_numpy(resumed)), tf.nest.flatten(expected), strict=True
    ):
        np.testing.assert_array_equal(a, b)


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
    users = np.concatenate([batch["rec"]["user"] for batch in read_epoch(pipeline)])
    assert len(users) == 2000
    # By chance one in 200 neighbours is of the same user.
    assert np.mean(users[1:] == users[:-1]) < 0.02


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
    assert [len(rows) for rows in empty["history_rows"]] == [0] * 4
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
    assert all(batch.keys() == {"search"} for batch in batches)
    number = len(targets_of(records[0], "search", "train"))
    assert sum(len(batch["search"]["user"]) for batch in batches) == number
    assert alone.steps_per_epoch() == -(-number // 16)


def test_words_and_clicks_are_cut(pipeline):
    narrow = dataclasses.replace(
        pipeline, tasks=("search",), max_query_words=1, max_clicked_items=2
    )
    group = narrow.evaluate("test").element_spec["search"]["history"][-1]
    assert group["search_words"].shape[2] == 1
    assert group["clicked_items"].shape[2] == 2


def test_bad_arguments(pipeline):
    with pytest.raises(ValueError, match="tasks must be some of"):
        dataclasses.replace(pipeline, tasks=("rec", "both"))
    with pytest.raises(ValueError, match="batch_size must be 1 or more, got 0"):
        dataclasses.replace(pipeline, batch_size=0)


def test_records_that_contradict_the_info_fail(pipeline):
    info = dataclasses.replace(
        pipeline.dataset.info, targets={"rec": {"train": 10_000}}
    )
    dataset = SequenceDataset(pipeline.dataset.dataset_dir, info)
    wrong = dataclasses.replace(pipeline, dataset=dataset, tasks=("rec",))
    with pytest.raises(tf.errors.FailedPreconditionError):
        list(itertools.islice(wrong.train(), wrong.steps_per_epoch()))
