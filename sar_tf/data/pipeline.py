"""Makes the batches of both tasks from a dataset."""

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from sar_tf.data.batches import (
    fill_up,
    list_pairs,
    list_sequences,
    make_batch,
    sample_queries_and_items,
)
from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.dataset_info import DatasetError
from sar_tf.data.schema import SPLITS, TASKS
from sar_tf.data.sizes import data_spec
from sar_tf.data.targets import (
    ALL,
    TargetReader,
    count_targets,
    fold_in,
    parallel_calls,
    plain_graph,
)
from sar_tf.data.unknown import forget_ids
from sar_tf.spec import ALL_NEEDS, INPUTS, DataSpec, check_needs, reads_history

_PREFETCHED = 4  # Batches ready for the next steps.


@dataclasses.dataclass(frozen=True)
class BatchPipeline:
    """Batches of a dataset's targets, with their histories, for one or both tasks.

    An element is a batch as `sar_tf.spec` describes it, with rows in the order in which
    the targets are read. Every target appears once in an epoch. The rows of each task
    are split evenly over the steps of an epoch; a task with fewer targets than steps
    has steps without rows.

    Attributes:
        dataset: The records and tables.
        batch_size: Largest number of training rows of a task in a step. The number of
            steps of an epoch follows from it.
        evaluation_batch_size: Largest number of rows of a task in a step of validation
            and test.
        tasks: "rec", "search" or both.
        needs: Names of the inputs to make; None is all.
        max_rec_history, max_search_history: Number of slots of a history.
        max_query_words, max_clicked_items: Number of words of a query and of clicked
            items of a session; None is the dataset's maximum.
        num_negatives: Number of training negatives for each positive.
        num_sampled: Number of items and of queries drawn at each training step.
        num_groups: Number of groups of histories of similar length in a batch; see
            `batches.make_batch`. With 1, all shapes are static, and a batch may have
            rows that are no targets.
        unknown_share: Share of ids in training that are taken for unknown ones; see
            `unknown.forget_ids`.
        train_on: "train", or "all": the targets of all splits are trained on.
        seed: Seed of all random draws, together with the number of the epoch.
        num_replicas: Number of replicas that share a step. Each takes one element of
            the dataset; together these have the rows of a step.
        worker, num_workers: Index and number of workers. A worker reads its share of
            the records, for its share of the replicas.
    """

    dataset: SequenceDataset
    batch_size: int = 1024
    evaluation_batch_size: int = 256
    tasks: tuple[str, ...] = ("rec", "search")
    needs: tuple[str, ...] | None = None
    max_rec_history: int = 30
    max_search_history: int = 30
    max_query_words: int | None = None
    max_clicked_items: int | None = None
    num_negatives: int = 4
    num_sampled: int = 1024
    num_groups: int = 4
    unknown_share: float = 0.0
    train_on: str = "train"
    seed: int = 0
    num_replicas: int = 1
    worker: int = 0
    num_workers: int = 1

    def __post_init__(self) -> None:
        if not self.tasks or not set(self.tasks) <= set(TASKS):
            raise ValueError(f"tasks must be some of {list(TASKS)}, got {self.tasks}")
        if self.train_on not in ("train", ALL):
            raise ValueError(f"train_on must be train or all, got {self.train_on!r}")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            lowest = 0 if field.name in ("seed", "worker") else 1
            if isinstance(value, int) and value < lowest:
                raise ValueError(f"{field.name} must be {lowest} or more, got {value}")
        if not 0 <= self.unknown_share < 1:
            raise ValueError(
                "unknown_share must be at least 0 and below 1, got "
                f"{self.unknown_share}"
            )
        if self.num_replicas % self.num_workers:
            raise ValueError(
                f"num_replicas={self.num_replicas} is no multiple of "
                f"num_workers={self.num_workers}"
            )
        check_needs(self._needs)

    def __repr__(self) -> str:
        info = self.dataset.info
        targets = ", ".join(
            f"{task} {' + '.join(f'{info.targets[task][s]:,} {s}' for s in SPLITS)}"
            for task in self.tasks
        )
        return (
            f"<{info.name}: {info.num_users:,} users, {info.num_items:,} items; "
            f"targets: {targets}; batches of {self.batch_size:,} targets>"
        )

    @property
    def spec(self) -> DataSpec:
        """Sizes of a model for these batches.

        Raises:
            DatasetError: The dataset has a feature that models cannot take.
        """
        return data_spec(
            self.dataset,
            max_rec_history=self.max_rec_history,
            max_search_history=self.max_search_history,
            max_query_words=self._limit("max_query_words"),
            max_clicked_items=self._limit("max_clicked_items"),
        )

    @property
    def tables(self) -> dict[str, dict[str, np.ndarray]]:
        """What a model's constructor takes: the features of all users and items.

        And the "popularity" of items, `{task: training targets of each item}`.
        """
        width = self._limit("max_query_words")

        def make():
            popularity = {"popularity": self.dataset.popularity()}
            return self.dataset.feature_tables(width) | popularity

        return self._cached(("tables", width), make)

    def steps_per_epoch(self, split: str = "train") -> int:
        """Steps in which every target of a split appears once."""
        return self._steps(split, self._targets)

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

    @property
    def query_words(self) -> tf.Tensor:
        """[num_queries + 1, W] the words of every query."""
        width = self._limit("max_query_words")

        def make():
            # Made outside of the functions that use it: they would contain a copy.
            with tf.init_scope(), tf.device("CPU"):
                return tf.constant(self.dataset.query_words(width))

        return self._cached(("query_words", width), make)

    @property
    def replicas_of_worker(self) -> int:
        """Number of elements that a step takes from one worker's dataset."""
        return self.num_replicas // self.num_workers

    @property
    def _needs(self) -> tuple[str, ...]:
        return ALL_NEEDS if self.needs is None else self.needs

    def _limit(self, name: str) -> int:
        available = max(getattr(self.dataset.info, name), 1)
        limit = getattr(self, name)
        return available if limit is None else min(limit, available)

    def _cached(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self.dataset.cache:
            self.dataset.cache[key] = make()
        return self.dataset.cache[key]

    @property
    def _targets(self) -> list[dict[str, dict[str, int]]]:
        """For each worker {task: {split: number of its targets}}."""
        if self.num_workers == 1:
            return [self.dataset.info.targets]
        return self._cached(("targets", self.num_workers), self._count_targets)

    def _count_targets(self, users: tuple[int, ...] | None = None) -> list:
        return [
            count_targets(self.dataset, worker, self.num_workers, users)
            for worker in range(self.num_workers)
        ]

    def _steps(self, split: str, targets: list) -> int:
        most = max(
            self._number(own[task], split) for own in targets for task in self.tasks
        )
        size = self.batch_size if split == "train" else self.evaluation_batch_size
        return -(-most * self.num_workers // size)

    def _number(self, targets: dict[str, int], split: str) -> int:
        """Number of a task's targets in a split, for training in all that it takes."""
        if split == "train" and self.train_on == ALL:
            return sum(targets.values())
        return targets[split]

    def require_targets(self, split: str) -> None:
        """Raises DatasetError where the tasks have no targets of a split."""
        if not self.steps_per_epoch(split):
            self._raise_no_targets(split)

    def _raise_no_targets(self, split: str) -> None:
        raise DatasetError(
            f"{self.dataset.dataset_dir} has no {split} targets for the tasks "
            f"{', '.join(self.tasks)}"
        )

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
        reader = TargetReader(
            dataset=self.dataset,
            max_rec_history=self.max_rec_history,
            max_search_history=self.max_search_history,
            max_clicked_items=self._limit("max_clicked_items"),
            num_negatives=self.num_negatives,
            reads_history=reads_history(self._needs)
            or self._needs_some("pair_")
            or self._needs_some("sequence_"),
            sequence_negatives=(
                self.max_rec_history + 1 if "sequence_negatives" in self._needs else 0
            ),
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
    def _finish(self, rows: dict[str, dict]) -> dict[str, dict]:
        return make_batch(rows, self.query_words, self.num_groups, self._needs)

    @plain_graph
    def _finish_training(
        self, step: tf.Tensor, rows: dict[str, dict], seed: tf.Tensor
    ) -> dict[str, dict]:
        batch = self._finish(rows)
        own_seed = fold_in(fold_in(seed, len(TASKS) + 1), step)
        # Another seed than those of the tasks' targets, and the same in all replicas
        # of a step.
        step = step // self.replicas_of_worker
        seed = fold_in(fold_in(seed, len(TASKS)), step)
        for task in self.tasks:
            draws = self._draw(rows[task], fold_in(seed, TASKS[task]))
            batch[task] |= {
                name: x
                for name, x in draws.items()
                if name in self._needs and task in INPUTS[name].tasks
            }
        if self.unknown_share:
            batch = forget_ids(batch, self.unknown_share, own_seed)
        return batch

    def _needs_some(self, prefix: str) -> bool:
        return any(name.startswith(prefix) for name in self._needs)

    def _draw(self, rows: dict, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Samples, pairs and sequences for the training losses of a task."""
        if not any(INPUTS[name].part == "draw" for name in self._needs):
            return {}
        num_items = self.dataset.info.num_items
        draws = sample_queries_and_items(
            self.num_sampled, num_items, self.query_words, seed
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
