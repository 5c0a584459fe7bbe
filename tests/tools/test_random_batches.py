import keras
import numpy as np
import pytest

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.models import SESRec
from sar_tf.needs import ALL_NEEDS
from tools.benchmark.random_batches import BEAUTY, RandomBatches

# Axes of a fixed size; the numbers of histories and pairs follow from the data.
STATIC = ("rec_items", "search_words", "clicked_items", "candidates", "query_words")


@pytest.fixture(scope="module")
def dataset(simulated_dataset):
    return SequenceDataset.open(simulated_dataset)


@pytest.mark.parametrize(
    ("tasks", "num_groups", "needs"),
    [
        (("rec", "search"), 3, ALL_NEEDS),
        (("rec", "search"), 1, ALL_NEEDS),
        (("rec",), 1, SESRec.needs),
        (("search",), 2, ("user",)),
    ],
)
def test_has_all_that_the_pipeline_gives(dataset, tasks, num_groups, needs):
    pipeline = BatchPipeline(
        dataset,
        batch_size=16,
        tasks=tasks,
        num_groups=num_groups,
        max_rec_history=5,
        max_search_history=5,
        max_clicked_items=1,
        num_sampled=7,
        needs=needs,
    )
    batches = RandomBatches(tasks, num_groups, pipeline.spec, needs)
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
            if path[-1] in STATIC:
                assert array.shape[1:] == tuple(tensor.shape[1:]), path
            del names[path]
        assert not names


def lengths_of(batches):
    """Lengths of the histories of all batches."""
    return np.concatenate([b["history"]["search_mask"].sum(axis=1) for b in batches])


def test_lengths_are_like_amazon_beautys():
    """Quarters of its training lengths end at 2, 4 and 10; means are 7.4 and 6.5."""
    train = RandomBatches(num_groups=4).train([1018] * 4)
    lengths = lengths_of(train)
    assert np.quantile(lengths, [0.25, 0.5, 0.75]).tolist() == [2, 4, 10]
    assert np.mean(lengths) == pytest.approx(7.5, abs=0.8)
    assert np.mean(lengths == 1) == pytest.approx(0.16, abs=0.02)
    evaluated = RandomBatches(num_groups=4).evaluate([1000] * 4)
    lengths = lengths_of(evaluated)
    assert np.mean(lengths) == pytest.approx(6.3, abs=0.5)
    assert (lengths.min(), lengths.max()) == (3, 30)


@pytest.mark.parametrize("num_groups", [3, 1])
def test_ids_and_masks_are_consistent(num_groups):
    (batch,) = RandomBatches(num_groups=num_groups).train([200])
    history, mask = batch["history"], batch["history"]["search_mask"]
    np.testing.assert_array_equal(history["rec_items"] > 0, mask)
    np.testing.assert_array_equal(history["clicked_items"][:, :, 0] > 0, mask)
    np.testing.assert_array_equal(history["search_words"][:, :, 0] > 0, mask)
    assert history["rec_items"].max() <= BEAUTY.num_items
    assert history["search_queries"].max() <= BEAUTY.num_queries
    assert history["search_positions"].max() == 59
    ends = history["group_ends"]
    assert len(ends) == num_groups and ends[-1] == len(mask)
    lengths = mask.sum(axis=1)
    starts = [0, *ends[:-1]]
    widths = [lengths[a:b].max() for a, b in zip(starts, ends, strict=True)]
    np.testing.assert_array_equal(history["rec_widths"], widths)
    copies = 2 if num_groups == 1 else 1
    assert len(mask) == copies * 200
    for task, first in (("rec", 0), ("search", (copies - 1) * 200)):
        inputs = batch[task]
        np.testing.assert_array_equal(inputs["history_row"], first + np.arange(200))
        assert inputs["pair_counts"].sum() == lengths[:200].sum()
    pairs = batch["search"]
    if num_groups > 1:
        items = pairs["pair_items"]
        assert len(np.unique(items)) == len(items) < BEAUTY.num_items


def test_a_seed_repeats_itself():
    first, again, other = (
        RandomBatches(seed=seed).evaluate([8])[0]["rec"]["candidates"]
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)
