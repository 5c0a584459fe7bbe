"""A model for a dataset: sizes, weights, feature tables and metrics."""

import dataclasses

from sar_tf import models
from sar_tf.metrics.ranking import RankingMetrics

_BUILD_ROWS = 16  # Rows of the batch whose shapes the weights are created from.


class ModelError(ValueError):
    """A model cannot be had with these settings for this dataset; says why."""


def data_spec(pipeline):
    """The `models.DataSpec` of a `BatchPipeline`'s dataset and histories.

    Raises:
        ModelError: The dataset has a feature that models cannot take.
    """
    info = pipeline.dataset.info
    categorical = {
        owner: {
            name: feature["num"]
            for name, feature in features.items()
            if feature["kind"] == "categorical"
        }
        for owner, features in info.features.items()
    }
    for owner, features in info.features.items():
        texts = sorted(set(features) - set(categorical[owner]))
        if texts != (["caption"] if owner == "item" and texts else []):
            raise ModelError(
                f"{pipeline.dataset.dataset_dir}: models take one feature made of "
                f"words, an item's caption, but a feature of {owner} is {texts}"
            )
    has_caption = "caption" in info.features.get("item", {})
    return models.DataSpec(
        num_users=info.num_users,
        num_items=info.num_items,
        num_words=info.num_words,
        num_queries=info.num_queries,
        num_search_sources=info.num_search_sources,
        max_rec_history=pipeline.max_rec_history,
        max_search_history=pipeline.max_search_history,
        max_query_words=_width(pipeline, "max_query_words"),
        max_clicked_items=_width(pipeline, "max_clicked_items"),
        user_features=categorical.get("user", {}),
        item_features=categorical.get("item", {}),
        caption_length=_width(pipeline, "max_query_words") if has_caption else 0,
    )


def build_model(name, pipeline, hyperparameters):
    """A model with all weights, feature tables and ranking metrics, not compiled.

    Args:
        name: A registered model's name.
        pipeline: The `BatchPipeline` that the model will be fed by.
        hyperparameters: {name: value} of those that are not the model's own default.

    Raises:
        ModelError: A hyperparameter or feature that the model cannot take.
    """
    spec = data_spec(pipeline)
    try:
        model = models.get(name)(spec, **hyperparameters)
    except ValueError as error:
        raise ModelError(f"model {name}: {error}") from error
    for task in model.tasks:
        model.ranking_metrics[task] = RankingMetrics(name=task)
    small = dataclasses.replace(pipeline, batch_size=_BUILD_ROWS)
    model.build_on(next(iter(small.train())))
    model.set_feature_tables(
        pipeline.dataset.feature_tables(model.data_spec.max_query_words)
    )
    return model


def _width(pipeline, name):
    """Words of a query or items of a session in the pipeline's batches."""
    return max(getattr(pipeline, name) or getattr(pipeline.dataset.info, name), 1)
