"""What a pipeline of batches is told, and the numbers that follow from it."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.dataset_info import DatasetError
from sar_tf.data.from_training import TRAINING_TABLES, FromTraining, LazyTables
from sar_tf.data.schema import SPLITS, TASKS
from sar_tf.data.sizes import data_spec
from sar_tf.data.targets import ALL, count_targets
from sar_tf.data.training_edges import Edges, read_training_edges
from sar_tf.needs import ALL_NEEDS, check_needs
from sar_tf.spec import DataSpec


@dataclasses.dataclass(frozen=True, repr=False)
class BatchSettings:
    """The settings of a `BatchPipeline`, with a model's sizes and the steps.

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
        max_item_queries, max_neighbors: Number of queries of an item, and of clicks of
            a user, that models read which look up the clicks of training.
        session_minutes: Longest time between two behaviors of one session, in minutes;
            the records' times are then seconds or milliseconds since 1970.
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
    max_item_queries: int = 3
    max_neighbors: int = 25
    session_minutes: int = 30
    num_negatives: int = 4
    num_sampled: int = 1024
    num_groups: int = 3
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
        check_needs(self.made_inputs)

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
            max_item_queries=self.max_item_queries,
            max_neighbors=self.max_neighbors,
            session_minutes=self.session_minutes,
        )

    @property
    def tables(self) -> dict[str, Mapping[str, np.ndarray]]:
        """What a model's constructor takes: the features of all users and items.

        And the "popularity" of items, `{task: training targets of each item}`; and
        "training", what served models read of the clicks of training, which is made
        when it is read.
        """
        width = self._limit("max_query_words")

        def make():
            tables = {"popularity": self.dataset.popularity()}
            return self.dataset.feature_tables(width) | tables

        return self._cached(("tables", width), make) | {"training": self._lazy_tables}

    @property
    def training_edges(self) -> Edges:
        """The clicks of training."""
        # Also where a batch's graph is made that reads them.
        with tf.init_scope():
            return self._cached("edges", lambda: read_training_edges(self.dataset))

    @property
    def from_training(self) -> FromTraining:
        """What is looked up in the clicks of training."""
        sizes = {n: getattr(self, n) for n in ("max_item_queries", "max_neighbors")}

        def make():
            info = self.dataset.info
            numbers = {"num_users": info.num_users, "num_items": info.num_items}
            return FromTraining(self.training_edges, **numbers, **sizes)

        return self._cached(("from_training", *sizes.values()), make)

    @property
    def _lazy_tables(self) -> LazyTables:
        width = self._limit("max_query_words")
        key = "training_tables", self.max_item_queries, self.max_neighbors, width

        def make():
            names = TRAINING_TABLES
            makers = {n: functools.partial(self._training_table, n) for n in names}
            words = {"query_words": lambda: self.dataset.query_words(width)}
            return LazyTables(makers | words)

        return self._cached(key, make)

    def _training_table(self, name: str) -> np.ndarray:
        return self.from_training.table(name)

    def steps_per_epoch(self, split: str = "train") -> int:
        """Steps in which every target of a split appears once."""
        return self._steps(split, self._targets)

    @property
    def query_words(self) -> tf.Tensor:
        """Words of every query: `(num_queries + 1, W)`."""
        width = self._limit("max_query_words")
        return self._constant(
            ("query_words", width), lambda: self.dataset.query_words(width)
        )

    @property
    def replicas_of_worker(self) -> int:
        """Number of elements that a step takes from one worker's dataset."""
        return self.num_replicas // self.num_workers

    @property
    def made_inputs(self) -> tuple[str, ...]:
        """Names of the inputs that a batch has."""
        return ALL_NEEDS if self.needs is None else self.needs

    def _limit(self, name: str) -> int:
        available = max(getattr(self.dataset.info, name), 1)
        limit = getattr(self, name)
        return available if limit is None else min(limit, available)

    def _cached(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self.dataset.cache:
            self.dataset.cache[key] = make()
        return self.dataset.cache[key]

    def _constant(self, key: Any, make: Callable[[], Any]) -> Any:
        """The tensors of a structure of NumPy arrays that `make` returns."""

        def make_tensors():
            # Made outside of the functions that use it: they would contain a copy.
            with tf.init_scope(), tf.device("CPU"):
                return tf.nest.map_structure(tf.constant, make())

        return self._cached(key, make_tensors)

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
