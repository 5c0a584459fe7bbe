"""A model with its data on its devices, as the settings of a run describe them."""

import contextlib
import dataclasses
from collections.abc import Iterator

import keras
import tensorflow as tf

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.data.records import damage_named
from sar_tf.models import Model
from sar_tf.training.build import build_model, fit_pipeline
from sar_tf.training.compile import compile_model
from sar_tf.training.config import ConfigError, RunConfig
from sar_tf.training.schedules import WarmupDecay
from sar_tf.training.strategy import lost_worker_named, make_strategy, num_workers

_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


@contextlib.contextmanager
def prepared(
    config: RunConfig, train_on: str = "train"
) -> Iterator[tuple[Model, BatchPipeline]]:
    """A compiled model with its data, on its devices, in the run's precision.

    Args:
        config: The settings of the run.
        train_on: "train", or "all" for the targets of all splits.

    Raises:
        ConfigError, DatasetError, ModelError, StrategyError: What a setting names
            cannot be had, or the `with` block finds a damaged shard or has lost
            another worker.
    """
    strategy = make_strategy(config.strategy, config.tpu)
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(_POLICIES[config.precision])
    try:
        dataset = SequenceDataset.open(config.require_dataset_dir())
        keras.utils.set_random_seed(config.seed)
        pipeline = make_pipeline(config, dataset, strategy)
        pipeline = dataclasses.replace(pipeline, train_on=train_on)
        with strategy.scope():
            model = build_model(config.model, pipeline, config.hyperparameters)
            pipeline = fit_pipeline(pipeline, model)
            compile_model(
                model,
                _learning_rate(config, pipeline),
                config.l2,
                embedding_optimizer=config.embedding_optimizer,
                clip_norm=config.clip_norm,
                jit_compile=config.jit_compile,
                steps_per_execution=config.steps_per_execution,
            )
        with lost_worker_named(strategy), damage_named(dataset):
            yield model, pipeline
    finally:
        keras.mixed_precision.set_dtype_policy(policy)


def make_pipeline(
    config: RunConfig,
    dataset: SequenceDataset,
    strategy: tf.distribute.Strategy | None = None,
) -> BatchPipeline:
    """The `BatchPipeline` that a run's settings describe, for both tasks.

    Args:
        config: The settings.
        dataset: The dataset.
        strategy: Devices that share a step; None is one device.
    """
    return BatchPipeline(
        dataset,
        batch_size=config.batch_size,
        evaluation_batch_size=config.evaluation_batch_size,
        max_rec_history=config.max_rec_history,
        max_search_history=config.max_search_history,
        max_query_words=config.max_query_words,
        max_clicked_items=config.max_clicked_items,
        max_item_queries=config.max_item_queries,
        max_neighbors=config.max_neighbors,
        session_minutes=config.session_minutes,
        num_negatives=config.num_negatives,
        num_sampled=config.num_sampled,
        unknown_share=config.unknown_share,
        num_groups=config.history_groups,
        seed=config.seed,
        num_replicas=strategy.num_replicas_in_sync if strategy else 1,
        num_workers=num_workers(strategy) if strategy else 1,
    )


def _learning_rate(config, pipeline):
    if config.schedule == "plateau":
        return config.learning_rate
    try:
        return WarmupDecay(
            config.learning_rate,
            config.epochs * pipeline.steps_per_epoch("train"),
            config.warmup_steps,
            config.min_learning_rate,
            config.schedule,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


def describe(config: RunConfig, model: Model, pipeline: BatchPipeline) -> str:
    """What is trained on what, in how many steps, on which devices; some lines."""
    info = pipeline.dataset.info
    steps = pipeline.steps_per_epoch("train")
    alone = dataclasses.replace(pipeline, num_replicas=1, num_workers=1)
    lines = [
        f"{config.model}: {model.count_params():,} weights; {info.name}: "
        f"{info.num_users:,} users, {info.num_items:,} items, {steps:,} steps an epoch"
    ]
    if (fewer := alone.steps_per_epoch("train")) != steps:
        lines.append(
            f"One worker would take {fewer:,} steps: workers share the users, and all "
            "take as many steps as the one whose users have most targets"
        )
    if config.strategy != "one_device":
        number = pipeline.num_replicas
        found = "" if number > 1 else ": TensorFlow finds one device"
        lines.append(
            f"strategy={config.strategy}: {number} replica{'s' * (number > 1)}{found}"
        )
    return "\n".join(lines)
