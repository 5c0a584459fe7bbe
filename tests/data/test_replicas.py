"""How the input pipeline shares a step among replicas and records among workers."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf
from support.builders import random_records, write_dataset
from support.rows import histories_of, to_numpy

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.pipeline import BatchPipeline

COLUMNS = ("user", "candidates", "query", "query_words")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    dataset_dir = tmp_path_factory.mktemp("dataset")
    records = random_records(num_users=60, max_behaviors=20)
    write_dataset(dataset_dir, *records, num_shards=3)
    return BatchPipeline(
        SequenceDataset.open(dataset_dir),
        batch_size=32,
        max_rec_history=4,
        max_search_history=3,
        num_sampled=5,
        num_groups=1,
        seed=3,
    )


def read(pipeline, elements):
    return to_numpy(pipeline.train_from(0).take(elements))


def targets(batch, task):
    """The rows that are targets, as a list of (column, values) each."""
    rows = []
    inputs, history = batch[task], histories_of(batch, task)
    for row in np.flatnonzero(inputs["is_target"]):
        columns = {n: inputs[n][row].tolist() for n in COLUMNS if n in inputs}
        columns |= {name: array[row].tolist() for name, array in history.items()}
        rows.append(columns)
    return rows


def test_all_shapes_of_one_group_are_static(pipeline):
    datasets = pipeline.train(), pipeline.train_from(0), pipeline.evaluate("test")
    for dataset in datasets:
        for spec in tf.nest.flatten(dataset.element_spec):
            assert spec.shape.is_fully_defined(), spec


@pytest.mark.parametrize("num_replicas", [2, 3])
def test_replicas_share_the_rows_of_a_step(pipeline, num_replicas):
    steps = pipeline.steps_per_epoch()
    replicated = dataclasses.replace(pipeline, num_replicas=num_replicas)
    assert replicated.steps_per_epoch() == steps
    elements = read(replicated, steps * num_replicas)
    for step, batch in enumerate(read(pipeline, steps)):
        parts = elements[step * num_replicas : (step + 1) * num_replicas]
        for task in pipeline.tasks:
            inputs = batch[task]
            expected = targets(batch, task)
            found = [targets(part, task) for part in parts]
            assert list(itertools.chain.from_iterable(found)) == expected
            sizes = [len(rows) for rows in found]
            assert max(sizes) - min(sizes) <= 1
            for part in parts:
                for name in ("sampled_items", "sampled_queries"):
                    np.testing.assert_array_equal(part[task][name], inputs[name])


def test_replicas_resume_inside_an_epoch(pipeline):
    replicated = dataclasses.replace(pipeline, num_replicas=2)
    expected = read(replicated, 8)[6:]
    resumed = replicated.train_from(0, 3).take(2)
    for batch, found in zip(expected, resumed, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, found, batch)


@pytest.mark.parametrize(("split", "num_workers"), [("train", 2), ("validation", 5)])
def test_workers_read_every_target_once(pipeline, split, num_workers):
    """Two workers share 3 shards, five share their records."""
    whole = dataclasses.replace(pipeline, batch_size=30, evaluation_batch_size=30)
    seen = {task: [] for task in pipeline.tasks}
    lengths = set()
    for worker in range(num_workers):
        share = dataclasses.replace(
            whole, num_replicas=num_workers, num_workers=num_workers, worker=worker
        )
        steps = share.steps_per_epoch(split)
        elements = 0
        batches = share.train() if split == "train" else share.evaluate(split)
        for batch in batches:
            elements += 1
            for task in pipeline.tasks:
                inputs = batch[task]
                assert np.count_nonzero(inputs["is_target"]) <= 30 // num_workers
                rows = inputs["candidates"][:, 0][inputs["is_target"]]
                seen[task].extend(
                    zip(
                        inputs["user"][inputs["is_target"]].numpy().tolist(),
                        rows.numpy().tolist(),
                        strict=True,
                    )
                )
        assert elements == steps
        lengths.add(steps)
    assert len(lengths) == 1
    for task, found in seen.items():
        assert len(found) == pipeline.dataset.info.targets[task][split]
        assert len(set(found)) == len(found)


def test_bad_numbers_of_replicas_are_named(pipeline):
    with pytest.raises(ValueError, match="num_replicas=3 is no multiple"):
        dataclasses.replace(pipeline, num_replicas=3, num_workers=2)
    with pytest.raises(ValueError, match="worker must be 0 or more"):
        dataclasses.replace(pipeline, worker=-1)
