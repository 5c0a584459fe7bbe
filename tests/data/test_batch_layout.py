"""How a batch is laid out: shapes, groups of histories, pairs."""

import collections
import dataclasses

import numpy as np
import pytest
from support.rows import (
    groups_of,
    histories_of,
    lengths_of,
    read_epoch,
    rows_of,
    targets_of,
)

from sar_tf.data.schema import TASKS
from sar_tf.inputs import INPUTS


def test_shapes_and_types(pipeline, epoch):
    info = pipeline.dataset.info
    for task in TASKS:
        inputs = epoch[0][task]
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
        assert inputs["history_row"].shape == (size,)
    for arrays in epoch[0].values():
        for name, array in arrays.items():
            assert array.dtype == INPUTS[name].dtype, name
            assert array.ndim == len(INPUTS[name].axes), name
    history = epoch[0]["history"]
    assert history["clicked_items"].shape[2] == info.max_clicked_items
    assert history["search_words"].shape[2] == info.max_query_words


def test_groups_are_as_wide_as_their_longest_history(epoch):
    for batch in epoch:
        history = batch["history"]
        lengths = lengths_of(batch)
        widths = np.stack([history["rec_widths"], history["search_widths"]], axis=1)
        for rows, width in zip(groups_of(batch), widths, strict=True):
            expected = np.maximum(lengths[rows].max(axis=0, initial=0), 1)
            np.testing.assert_array_equal(width, expected)


def test_groups_have_all_histories_sorted_by_length(epoch):
    for batch in epoch:
        sizes = [rows.stop - rows.start for rows in groups_of(batch)]
        assert len(sizes) == 3
        assert sum(sizes) == len(batch["history"]["rec_items"])
        lengths = lengths_of(batch).max(axis=1).tolist()
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
        positives = [
            (task, int(item))
            for task in TASKS
            for item in batch[task]["candidates"][:, 0]
        ]
        rows = np.concatenate([batch[task]["history_row"] for task in TASKS])
        number = len(batch["history"]["rec_items"])
        assert number == len({ends[positive] for positive in positives})
        assert set(rows) == set(range(number))  # each is read
        shared += len(positives) - number
    assert shared > 0


@pytest.mark.parametrize("num_groups", [4, 1])
def test_pairs_are_the_clicks_of_the_histories_counted(pipeline, num_groups):
    batch = read_epoch(dataclasses.replace(pipeline, num_groups=num_groups))[0]
    for task in TASKS:
        inputs, arrays = batch[task], histories_of(batch, task)
        expected = collections.Counter(
            (query, item)
            for queries, clicked in zip(
                arrays["search_queries"], arrays["clicked_items"], strict=True
            )
            for query, items in zip(queries, clicked, strict=True)
            for item in items[items > 0]
        )
        found = collections.Counter()
        for query, item, count in zip(
            inputs["pair_queries"],
            inputs["pair_items"],
            inputs["pair_counts"],
            strict=True,
        ):
            found[query, item] += int(count)
        assert +found == expected
        if num_groups > 1:  # each is listed once
            assert len(inputs["pair_counts"]) == len(expected)
        np.testing.assert_array_equal(
            inputs["pair_query_words"],
            pipeline.query_words.numpy()[inputs["pair_queries"]],
        )


def test_one_group_keeps_order_and_full_width(pipeline, epoch):
    whole = dataclasses.replace(pipeline, tasks=("search",), num_groups=1)
    spec = whole.train_from(0).element_spec["history"]
    info = pipeline.dataset.info
    assert spec["rec_positions"].shape[1:] == [4]
    assert spec["search_mask"].shape[1:] == [3]
    assert spec["search_words"].shape[1:] == [3, info.max_query_words]
    grouped = {
        positive: history
        for batch in epoch
        for positive, history in zip(
            batch["search"]["candidates"][:, 0], rows_of(batch, "search"), strict=True
        )
    }
    for batch in read_epoch(whole)[:3]:
        inputs, history = batch["search"], batch["history"]
        size = len(inputs["user"])
        np.testing.assert_array_equal(inputs["history_row"], np.arange(size))
        assert history["group_ends"].tolist() == [size]
        # Groups have not changed anything, positions included.
        for positive, row, is_target in zip(
            inputs["candidates"][:, 0],
            rows_of(batch, "search"),
            inputs["is_target"],
            strict=True,
        ):
            if is_target:
                assert row == grouped[positive]
        positions = np.hstack([history["rec_positions"], history["search_positions"]])
        positions = positions[inputs["is_target"]]
        np.testing.assert_array_equal(
            np.sort(positions), np.tile(np.arange(7), (len(positions), 1))
        )


def test_words_and_clicks_are_cut(pipeline):
    narrow = dataclasses.replace(
        pipeline, tasks=("search",), max_query_words=1, max_clicked_items=2
    )
    spec = narrow.evaluate("test").element_spec
    assert spec["history"]["search_words"].shape[2] == 1
    assert spec["history"]["clicked_items"].shape[2] == 2
    assert spec["search"]["query_words"].shape[1] == 1
    assert (narrow.spec.max_query_words, narrow.spec.max_clicked_items) == (1, 2)


def test_a_model_that_reads_no_history_gets_none(pipeline):
    bare = dataclasses.replace(pipeline, needs=("user",))
    for batch in (read_epoch(bare)[0], next(iter(bare.test()))):
        assert batch.keys() == set(TASKS)
        for inputs in batch.values():
            expected = {"candidates", "history_row", "is_target", "user"}
            assert inputs.keys() == expected
            assert not np.any(inputs["history_row"])
