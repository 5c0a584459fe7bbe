"""A model for a dataset, from its name and hyperparameters."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from sar_tf import models
from sar_tf.data.pipeline import BatchPipeline


class ModelError(ValueError):
    """A model cannot be had with these settings for this dataset; says why."""


def build_model(
    name: str, pipeline: BatchPipeline, hyperparameters: Mapping[str, Any]
) -> models.Model:
    """A model with all weights, feature tables and ranking metrics, not compiled.

    Args:
        name: A registered model's name, or "package.module:Class".
        pipeline: The `BatchPipeline` that the model will be fed by.
        hyperparameters: {name: value} of those that are not the model's own default.

    Raises:
        ModelError: There is no such model, or it refuses a hyperparameter.
    """
    try:
        return models.get(name)(pipeline.spec, pipeline.tables, **hyperparameters)
    except ValueError as error:
        raise ModelError(f"model {name}: {_first_reason(error)}") from error


def _first_reason(error: BaseException) -> str:
    """What a layer said, without the lines that Keras wraps around it."""
    while isinstance(error.__context__, ValueError):
        error = error.__context__
    return str(error)


def fit_pipeline(pipeline: BatchPipeline, model: models.Model) -> BatchPipeline:
    """The pipeline with the model's tasks, and with the inputs that it reads alone."""
    return dataclasses.replace(pipeline, tasks=model.tasks, needs=model.needs)
