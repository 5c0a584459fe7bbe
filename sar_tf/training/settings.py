"""The settings of a run by group: their types, ranges and meanings.

Each class is a group. Flags, checks and help texts are made from the fields and from
the texts in the docstrings.
"""

import dataclasses
from typing import Annotated, Literal

from sar_tf.settings import Few, Range, Rate, Size

_BatchSize = Annotated[int, Range(1, 1 << 20)]
_Count = Annotated[int, Range(1, 10**6)]
_Rate = Annotated[float, Range(0, 10, low_open=True)]


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """What is trained, on what, from what.

    Args:
        model: Model to train: a registered name, or package.module:Class.
        dataset_dir: Folder of the dataset, which a job of pipelines/ made.
        init_from: Run folder whose best weights training starts from, where
            their place in the model and their shape are the same. Rows of known users,
            items, … of another dataset are taken by raw id.
        train_on: Targets that the exported model is trained on. train: those of the
            train split; all: those of all splits, in a second training of as many
            epochs as validation chose.
        seed: Seed of every random draw.
    """

    model: str = "unisar"
    dataset_dir: str | None = None
    init_from: str | None = None
    train_on: Literal["train", "all"] = "train"
    seed: Annotated[int, Range(0, (1 << 32) - 1)] = 1


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """How batches are made.

    Args:
        batch_size: Targets of the larger task in a training step, of all
            replicas together.
        evaluation_batch_size: Targets of the larger task in an evaluation step,
            of all replicas together.
        max_rec_history: Maximum number of clicked recommendations in a history.
        max_search_history: Maximum number of searches in a history.
        max_query_words: Maximum number of words of a query and of a caption;
            none takes all.
        max_clicked_items: Maximum number of clicked items of a search; none
            takes all.
        max_item_queries: Number of queries that led to an item, of those in the clicks
            of training, which iv4rec and iv4rec_plus read.
        max_neighbors: Number of clicks of a user, of those of training, which
            srjgraph reads.
        session_minutes: Longest time between two behaviors of one session, in minutes,
            for models that read sessions (user).
        num_negatives: Number of negatives drawn for each positive in training.
        num_sampled: Number of items, and of queries, drawn in each step for the
            query-item loss.
        unknown_share: Share of users, candidates, queries, words and sources in
            training that are taken for unknown ones, so that the model learns to serve
            them; 0 is the papers' models.
        history_groups: Number of groups of like length that a batch's histories
            are encoded in; several are fastest on CPUs, 1 gives static shapes.
    """

    batch_size: _BatchSize = 1024
    evaluation_batch_size: _BatchSize = 256
    max_rec_history: Size = 30
    max_search_history: Size = 30
    max_query_words: Size | None = None
    max_clicked_items: Size | None = None
    max_item_queries: Annotated[int, Range(1, 1 << 10)] = 3
    max_neighbors: Annotated[int, Range(1, 1 << 10)] = 25
    session_minutes: _Count = 30
    num_negatives: Annotated[int, Range(1, 1 << 10)] = 4
    num_sampled: Annotated[int, Range(1, 1 << 16)] = 1024
    unknown_share: Rate = 0.0
    history_groups: Few = 3


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """How the model is trained.

    Args:
        epochs: Maximum number of epochs.
        learning_rate: Learning rate of Adam; the highest one of a schedule.
        schedule: Course of the learning rate. plateau: constant, multiplied by
            plateau_factor where validation stops improving; cosine, linear:
            falls to min_learning_rate over all epochs.
        warmup_steps: Number of steps in which the learning rate of cosine and
            linear first rises.
        min_learning_rate: Lowest learning rate that a schedule goes down to; not
            above learning_rate.
        plateau_factor: Factor of the learning rate at a plateau.
        plateau_patience: Number of epochs without a better validation NDCG@5
            (mean of the tasks) that make a plateau.
        early_stopping_patience: Number of epochs without a better validation
            NDCG@5 that end training.
        l2: Factor of a weight in its gradient; biases have no such term.
        embedding_optimizer: Optimizer of embedding tables. adam: each step
            moves every row, by L2 and momentum; lazy_adam: only the rows that
            the step looks up.
        clip_norm: Norm that the gradients of all weights together are scaled
            down to; 0 never scales.
        checkpoint_minutes: Minutes of training between two checkpoints inside
            an epoch; 0 saves at each step. Each epoch ends with a checkpoint
            anyway.
    """

    epochs: _Count = 100
    learning_rate: _Rate = 1e-3
    schedule: Literal["plateau", "cosine", "linear"] = "plateau"
    warmup_steps: Annotated[int, Range(0, 10**9)] = 0
    min_learning_rate: Annotated[float, Range(0, 10)] = 1e-6
    plateau_factor: Annotated[float, Range(0, 1, True, True)] = 0.1
    plateau_patience: _Count = 3
    early_stopping_patience: _Count = 5
    l2: Annotated[float, Range(0, 1e3)] = 1e-5
    embedding_optimizer: Literal["adam", "lazy_adam"] = "adam"
    clip_norm: Annotated[float, Range(0, 1e6)] = 0.0
    checkpoint_minutes: Annotated[float, Range(0, 1e6)] = 10.0


@dataclasses.dataclass(frozen=True)
class DeviceSettings:
    """Where the model is trained, and how its steps are computed.

    Args:
        strategy: Devices that share a step. mirrored: all GPUs of this machine;
            multi_worker: the machines that the variable TF_CONFIG names; tpu:
            see tpu.
        tpu: Name or address of the TPU; local is the TPU of this machine. It
            belongs to strategy=tpu.
        precision: Type of the numbers. bfloat16: of all but weights, losses and
            softmax.
        jit_compile: Whether XLA compiles the steps; needs history_groups=1.
        steps_per_execution: Number of steps that run between two callbacks.
    """

    strategy: Literal["one_device", "mirrored", "multi_worker", "tpu"] = "one_device"
    tpu: str = ""
    precision: Literal["float32", "bfloat16"] = "float32"
    jit_compile: bool = False
    steps_per_execution: _Count = 1
