"""Makes the batches of both tasks from a dataset."""

import dataclasses
import functools
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from sar_tf.data.batches import (
    fill_up,
    list_pairs,
    list_sequences,
    make_batch,
    sample_queries_and_items,
)
from sar_tf.data.from_training import needs_training
from sar_tf.data.labels import BatchLabels
from sar_tf.data.schema import TASKS
from sar_tf.data.targets import (
    TargetReader,
    fold_in,
    parallel_calls,
    plain_graph,
)
from sar_tf.data.unknown import forget_ids
from sar_tf.data.words import draw_words
from sar_tf.inputs import INPUTS
from sar_tf.needs import reads_history

_PREFETCHED = 4  # Batches ready for the next steps.


@dataclasses.dataclass(frozen=True, repr=False)
class BatchPipeline(BatchLabels):
    """Batches of a dataset's targets, with their histories, for one or both tasks.

    An element is a batch as `sar_tf.inputs` describes it, with rows in the order in
    which the targets are read. Every target appears once in an epoch. The rows of each
    task are split evenly over the steps of an epoch; a task with fewer targets than
    steps has steps without rows.

    What it can be told: `BatchSettings`.
    """

    def train(self) -> tf.data.Dataset:
        """One epoch of training batches, in another order each time it is read.

        The orders follow from the seed, and from TensorFlow's global one where it is
        set (`keras.utils.set_random_seed`); those of `train_from` from the seed alone.
        """
        self.require_targets("train")
        epoch = tf.data.Dataset.random(self.seed, rerandomize_each_iteration=True)
        batches = epoch.take(1).flat_map(self._make_epoch)
        batches = batches.apply(
            tf.data.experimental.assert_cardinality(
                self.steps_per_epoch("train") * self.replicas_of_worker
            )
        )
        return _with_options(batches.prefetch(_PREFETCHED))

    def train_from(self, epoch: int, step: int = 0) -> tf.data.Dataset:
        """Endless training batches, epoch after epoch; each epoch has its own order.

        An epoch depends only on the seed and its number. Training that starts at
        `epoch` and `step` gets the same batches as training without interruption.
        """
        self.require_targets("train")

        @plain_graph
        def make(number: tf.Tensor) -> tf.data.Dataset:
            skipped = tf.where(tf.equal(number, epoch), step, 0)
            return self._make_epoch(number, skipped * self.replicas_of_worker)

        epochs = tf.data.Dataset.counter(epoch)
        return _with_options(epochs.flat_map(make).prefetch(_PREFETCHED))

    def validation(self, users: Iterable[str] | None = None) -> tf.data.Dataset:
        """`evaluate("validation")`."""
        return self.evaluate("validation", users)

    def test(self, users: Iterable[str] | None = None) -> tf.data.Dataset:
        """`evaluate("test")`."""
        return self.evaluate("test", users)

    def evaluate(
        self, split: str, users: Iterable[str] | None = None
    ) -> tf.data.Dataset:
        """All targets of a split once, in the order of the records.

        The candidates are the stored ones, the positive first.

        Args:
            split: "validation" or "test" ("train" has no stored candidates).
            users: Raw ids of the users whose targets are read; None is all.

        Raises:
            DatasetError: There is no target, or a user is unknown.
        """
        targets, chosen = self._targets, None
        if users is not None:
            chosen = self.dataset.dense_ids("user", users)
            targets = self._count_targets(chosen)
        if not self._steps(split, targets):
            self._raise_no_targets(split)
        rows = self._zip_tasks(split, None, targets, chosen)
        batches = rows.map(self._finish, num_parallel_calls=parallel_calls())
        return _with_options(batches.prefetch(_PREFETCHED))

    @plain_graph
    def _make_epoch(
        self, epoch: tf.Tensor, skipped: tf.Tensor | int = 0
    ) -> tf.data.Dataset:
        seed = tf.stack([tf.constant(self.seed, tf.int64), tf.cast(epoch, tf.int64)])
        rows = self._zip_tasks("train", seed, self._targets).enumerate()
        return rows.skip(tf.cast(skipped, tf.int64)).map(
            functools.partial(self._finish_training, seed=seed),
            num_parallel_calls=parallel_calls(),
        )

    def _zip_tasks(
        self,
        split: str,
        seed: tf.Tensor | None,
        targets: list,
        users: tuple[int, ...] | None = None,
    ) -> tf.data.Dataset:
        """{task: rows} for each step of an epoch; a seed means training."""
        needs_sessions = any(n.endswith("_sessions") for n in self.made_inputs)
        reader = TargetReader(
            dataset=self.dataset,
            max_rec_history=self.max_rec_history,
            max_search_history=self.max_search_history,
            max_clicked_items=self._limit("max_clicked_items"),
            num_negatives=self.num_negatives,
            reads_history=reads_history(self.made_inputs)
            or self._needs_some("pair_")
            or self._needs_some("sequence_")
            or "similar_items" in self.made_inputs,
            sequence_negatives=(
                self.max_rec_history + 1
                if "sequence_negatives" in self.made_inputs
                else 0
            ),
            reads_time=needs_training(self.made_inputs) or self._needs_replacements,
            session_minutes=self.session_minutes if needs_sessions else None,
            users=users,
            worker=self.worker,
            num_workers=self.num_workers,
        )
        elements = self._steps(split, targets) * self.replicas_of_worker
        streams = {}
        for task in self.tasks:
            numbers = [self._number(own[task], split) for own in targets]
            taken = self.train_on if split == "train" else split
            rows = reader.read(task, taken, seed)
            streams[task] = self._split_evenly(rows, numbers, elements)
        # Fails if the records and the info have different numbers of targets.
        return tf.data.Dataset.zip(streams).apply(
            tf.data.experimental.assert_cardinality(elements)
        )

    def _split_evenly(
        self, rows: tf.data.Dataset, numbers: list[int], elements: int
    ) -> tf.data.Dataset:
        number = numbers[self.worker]
        if not number:
            rows = rows.take(1).repeat(elements)
        else:
            rows = rows.rebatch(np.diff(np.arange(elements + 1) * number // elements))
        if self.num_groups > 1:
            return rows
        return rows.map(functools.partial(fill_up, size=-(-max(numbers) // elements)))

    @plain_graph
    def _finish(
        self, rows: dict[str, dict], seed: tf.Tensor | None = None
    ) -> dict[str, dict]:
        if needs_training(self.made_inputs):
            rows = {
                task: columns
                | self.from_training.columns(
                    columns,
                    self.made_inputs,
                    None if seed is None else fold_in(seed, TASKS[task]),
                )
                for task, columns in rows.items()
            }
        return make_batch(rows, self.query_words, self.num_groups, self.made_inputs)

    @plain_graph
    def _finish_training(
        self, step: tf.Tensor, rows: dict[str, dict], seed: tf.Tensor
    ) -> dict[str, dict]:
        look_up_seed = fold_in(fold_in(seed, len(TASKS) + 3), step)
        batch = self._finish(rows, look_up_seed)
        own_seed = fold_in(fold_in(seed, len(TASKS) + 1), step)
        label_seed = fold_in(fold_in(seed, len(TASKS) + 2), step)
        # Another seed than those of the tasks' targets, and the same in all replicas
        # of a step.
        step = step // self.replicas_of_worker
        seed = fold_in(fold_in(seed, len(TASKS)), step)
        for task in self.tasks:
            draws = self._draw(rows[task], fold_in(seed, TASKS[task]))
            draws |= self._label(task, rows[task], label_seed)
            batch[task] |= {
                name: x
                for name, x in draws.items()
                if name in self.made_inputs and task in INPUTS[name].tasks
            }
        if self.unknown_share:
            batch = forget_ids(batch, self.unknown_share, own_seed)
        return batch

    def _draw(self, rows: dict, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Samples, pairs and sequences for the training losses of a task."""
        if not any(INPUTS[name].part == "draw" for name in self.made_inputs):
            return {}
        num_items = self.dataset.info.num_items
        draws = sample_queries_and_items(
            self.num_sampled, num_items, self.query_words, seed
        )
        if "sampled_words" in self.made_inputs:
            draws["sampled_words"] = draw_words(
                self._word_shares, self.num_sampled, fold_in(seed, 2)
            )
        is_static = self.num_groups == 1
        if self._needs_some("pair_"):
            draws |= list_pairs(rows, self.query_words, num_items, not is_static)
        if self._needs_some("sequence_"):
            draws |= list_sequences(rows, only_last=not is_static)
        return draws


def _with_options(batches: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False
    return batches.with_options(options)
