"""From a dataset to the batches of both tasks."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from sar_tf.data.batches import (
    distinct_pairs,
    fill_up,
    make_inputs,
    sample_queries_and_items,
)
from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.schema import TASKS
from sar_tf.data.targets import (
    TargetReader,
    count_targets,
    fold_in,
    parallel_calls,
    plain_graph,
)

_PREFETCHED = 4  # Batches ready for the next steps.


@dataclasses.dataclass(frozen=True)
class BatchPipeline:
    """Batches of a dataset's targets, with their histories, for both tasks.

    An element is {task: inputs}, with the inputs of a task as `batches.make_inputs`
    returns them. Each step has rows of every task, split evenly over the epoch, so
    that every target appears once and the tasks' epochs end together; a task with
    fewer targets than steps has steps without rows.

    Attributes:
        dataset: The records and tables.
        batch_size: Rows of the task that has most targets, at most; the steps of
            an epoch follow from it.
        tasks: "rec", "search" or both.
        max_rec_history, max_search_history: Slots of the history.
        max_query_words, max_clicked_items: Words of a query and clicked items of a
            session; None is as many as the dataset has.
        num_negatives: Training negatives a positive.
        num_sampled: Items and queries drawn at each training step.
        num_groups: Groups of similar history length in a batch; see `make_inputs`. With
            1, all shapes are static: rows that are no target may fill up a batch.
        seed: Everything random follows from it and the epoch.
        num_replicas: Replicas that share a step. Each takes an element of the dataset,
            and the elements of all have the rows of a step.
        worker, num_workers: Each of several workers reads its share of the records,
            for its share of the replicas.
    """

    dataset: SequenceDataset
    batch_size: int = 1024
    tasks: tuple[str, ...] = ("rec", "search")
    max_rec_history: int = 30
    max_search_history: int = 30
    max_query_words: int | None = None
    max_clicked_items: int | None = None
    num_negatives: int = 4
    num_sampled: int = 1024
    num_groups: int = 4
    seed: int = 0
    num_replicas: int = 1
    worker: int = 0
    num_workers: int = 1

    def __post_init__(self) -> None:
        if not self.tasks or not set(self.tasks) <= set(TASKS):
            raise ValueError(f"tasks must be some of {list(TASKS)}, got {self.tasks}")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            lowest = 0 if field.name in ("seed", "worker") else 1
            if isinstance(value, int) and value < lowest:
                raise ValueError(f"{field.name} must be {lowest} or more, got {value}")
        if self.num_replicas % self.num_workers:
            raise ValueError(
                f"num_replicas={self.num_replicas} is no multiple of "
                f"num_workers={self.num_workers}"
            )

    def steps_per_epoch(self, split: str = "train") -> int:
        """Steps in which every target of a split appears once."""
        most = max(
            targets[task][split] for targets in self._targets for task in self.tasks
        )
        return -(-most * self.num_workers // self.batch_size)

    def train(self, start_epoch: int = 0, start_step: int = 0) -> tf.data.Dataset:
        """Endless training batches, epoch after epoch, each in an order of its own.

        An epoch depends on the seed and its number only, so training that begins
        at `start_epoch` and `start_step` sees what it would have seen there.
        """
        self._require_targets("train")

        @plain_graph
        def make_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            seed = tf.stack([tf.constant(self.seed, tf.int64), epoch])
            rows = self._zip_tasks("train", seed).enumerate()
            first = start_step * self.replicas_of_worker
            skipped = tf.where(tf.equal(epoch, start_epoch), first, 0)
            return rows.skip(tf.cast(skipped, tf.int64)).map(
                functools.partial(self._finish_training, seed=seed),
                num_parallel_calls=parallel_calls(),
            )

        epochs = tf.data.Dataset.counter(start_epoch)
        return _with_options(epochs.flat_map(make_epoch).prefetch(_PREFETCHED))

    def evaluate(self, split: str) -> tf.data.Dataset:
        """All targets of a split, in the order of the records, once.

        Rows of a batch are sorted by length; "row" is each one's place in the
        batch's part of that order. The candidates are the stored ones.
        """
        self._require_targets(split)
        rows = self._zip_tasks(split, seed=None)
        rows = rows.map(self._finish, num_parallel_calls=parallel_calls())
        return _with_options(rows.prefetch(_PREFETCHED))

    @functools.cached_property
    def query_words(self) -> tf.Tensor:
        """[num_queries + 1, W] the words of every query."""
        # Made outside of the functions that use it, which would embed a copy.
        with tf.init_scope(), tf.device("CPU"):
            return tf.constant(self.dataset.query_words(self._limit("max_query_words")))

    def _limit(self, name: str) -> int:
        limit = getattr(self, name)
        return max(getattr(self.dataset.info, name), 1) if limit is None else limit

    @property
    def replicas_of_worker(self) -> int:
        """Elements of the dataset of one worker that a step takes."""
        return self.num_replicas // self.num_workers

    @functools.cached_property
    def _targets(self) -> list[dict[str, dict[str, int]]]:
        """Of each worker: {task: {split: number of its targets}}."""
        if self.num_workers == 1:
            return [self.dataset.info.targets]
        return [
            count_targets(self.dataset, worker, self.num_workers)
            for worker in range(self.num_workers)
        ]

    def _require_targets(self, split: str) -> None:
        if not self.steps_per_epoch(split):
            raise ValueError(
                f"{self.dataset.dataset_dir} has no {split} targets for the tasks "
                f"{', '.join(self.tasks)}"
            )

    def _zip_tasks(self, split: str, seed: tf.Tensor | None) -> tf.data.Dataset:
        """{task: rows} for each step of an epoch; a seed means training."""
        reader = TargetReader(
            dataset=self.dataset,
            max_rec_history=self.max_rec_history,
            max_search_history=self.max_search_history,
            max_clicked_items=self._limit("max_clicked_items"),
            num_negatives=self.num_negatives,
            worker=self.worker,
            num_workers=self.num_workers,
        )
        streams = {}
        for task in self.tasks:
            rows = reader.read(task, split, seed)
            streams[task] = self._split_evenly(rows, task, split)
        # Fails where the records hold other targets than the info says.
        return tf.data.Dataset.zip(streams).apply(
            tf.data.experimental.assert_cardinality(self._elements(split))
        )

    def _elements(self, split: str) -> int:
        """Elements of a worker's dataset in an epoch: one a step and replica."""
        return self.steps_per_epoch(split) * self.replicas_of_worker

    def _split_evenly(
        self, rows: tf.data.Dataset, task: str, split: str
    ) -> tf.data.Dataset:
        elements = self._elements(split)
        number = self._targets[self.worker][task][split]
        if not number:
            rows = rows.take(1).repeat(elements)
        else:
            rows = rows.rebatch(np.diff(np.arange(elements + 1) * number // elements))
        if self.num_groups > 1:
            return rows
        most = max(targets[task][split] for targets in self._targets)
        return rows.map(functools.partial(fill_up, size=-(-most // elements)))

    @plain_graph
    def _finish(self, rows: dict[str, dict]) -> dict[str, dict]:
        return make_inputs(rows, self.query_words, self.num_groups)

    @plain_graph
    def _finish_training(
        self, step: tf.Tensor, rows: dict[str, dict], seed: tf.Tensor
    ) -> dict[str, dict]:
        inputs = self._finish(rows)
        # A stream of its own, beside those of the tasks' targets; the same in all
        # replicas of a step.
        step = step // self.replicas_of_worker
        seed = fold_in(fold_in(seed, len(TASKS)), step)
        for task in self.tasks:
            inputs[task] |= sample_queries_and_items(
                self.num_sampled,
                self.dataset.info.num_items,
                self.query_words,
                fold_in(seed, TASKS[task]),
            )
            if self.num_groups > 1:
                inputs[task]["pairs"] = distinct_pairs(
                    rows[task], self.query_words, self.dataset.info.num_items
                )
        return inputs


def _with_options(batches: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False
    return batches.with_options(options)
