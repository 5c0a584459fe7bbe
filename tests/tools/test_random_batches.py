import dataclasses

import keras
import numpy as np
import pytest

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.training.build import data_spec
from tools.random_batches import BEAUTY, RandomBatches


@pytest.fixture(scope="module")
def dataset(simulated_dataset):
    return SequenceDataset.open(simulated_dataset)


@pytest.mark.parametrize("num_groups", [1, 3])
@pytest.mark.parametrize("tasks", [("rec", "search"), ("rec",)])
def test_has_all_that_the_pipeline_gives(dataset, num_groups, tasks):
    pipeline = BatchPipeline(
        dataset,
        batch_size=16,
        tasks=tasks,
        num_groups=num_groups,
        max_rec_history=5,
        max_search_history=5,
        max_clicked_items=1,
        num_sampled=7,
    )
    spec = dataclasses.replace(data_spec(pipeline), user_features={}, item_features={})
    batches = RandomBatches(tasks, num_groups, spec)
    pairs = (
        (next(iter(pipeline.train())), batches.train([16], num_sampled=7)[0]),
        (next(iter(pipeline.evaluate("test"))), batches.evaluate([16])[0]),
    )
    for expected, made in pairs:
        names = dict.fromkeys(path for path, _ in keras.tree.flatten_with_path(made))
        for path, tensor in keras.tree.flatten_with_path(expected):
            assert path in names, path
            array = made
            for key in path:
                array = array[key]
            assert array.dtype == tensor.dtype.as_numpy_dtype, path
            assert array.ndim == tensor.shape.rank, path
            del names[path]
        assert not names


def histories(batch):
    return [group["search_mask"].sum(axis=1) for group in batch["rec"]["history"]]


def test_lengths_are_like_amazon_beautys():
    """Group widths of its batches: 2, 4, 10 and 30; mean lengths 7.4 and 6.5."""
    train = RandomBatches(num_groups=4).train([1018] * 4)
    groups = train[0]["rec"]["history"]
    assert [g["rec_items"].shape[1] for g in groups] == [2, 4, 10, 30]
    lengths = np.concatenate([n for batch in train for n in histories(batch)])
    assert np.mean(lengths) == pytest.approx(7.5, abs=0.8)
    assert np.mean(lengths == 1) == pytest.approx(0.16, abs=0.02)
    evaluated = RandomBatches(num_groups=4).evaluate([1000] * 4)
    lengths = np.concatenate([n for batch in evaluated for n in histories(batch)])
    assert np.mean(lengths) == pytest.approx(6.3, abs=0.5)
    assert (lengths.min(), lengths.max()) == (3, 30)


def test_ids_and_masks_are_consistent():
    (batch,) = RandomBatches(num_groups=3).train([200])
    for group in batch["rec"]["history"]:
        mask = group["search_mask"]
        np.testing.assert_array_equal(group["rec_items"] > 0, mask)
        np.testing.assert_array_equal(group["clicked_items"][:, :, 0] > 0, mask)
        np.testing.assert_array_equal(group["search_words"][:, :, 0] > 0, mask)
        assert group["rec_items"].max() <= BEAUTY.num_items
        assert group["search_queries"].max() <= BEAUTY.num_queries
        assert max(group["search_positions"].max(), 59) == 59
    rows = [len(rows) for rows in batch["search"]["history_rows"]]
    assert rows == [len(group["rec_items"]) for group in batch["rec"]["history"]]
    pairs = batch["search"]["pairs"]
    assert pairs["counts"].sum() == sum(lengths.sum() for lengths in histories(batch))
    assert len(np.unique(pairs["items"])) == len(pairs["items"]) < BEAUTY.num_items


def test_a_seed_repeats_itself():
    first, again, other = (
        RandomBatches(seed=seed).evaluate([8])[0]["rec"]["candidates"]
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)
