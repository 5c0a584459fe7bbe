"""Small models that show what the base class does."""

import keras
import numpy as np

from sar_tf.layers.embeddings import QueryEncoder
from sar_tf.layers.feature_encoder import FeatureEncoder
from sar_tf.layers.masking import masked_mean
from sar_tf.models import DotProductModel, Model
from sar_tf.models.fine_tuned import FineTuned
from sar_tf.settings import Size, Weight
from support.batches import SPEC, feature_tables


@keras.saving.register_keras_serializable("tests")
class Given(Model):
    """The logit of an item is a number that a test sets; no histories.

    Args:
        search_weight: Weight of the search task's loss.
    """

    def __init__(self, spec, tables=None, *, search_weight: Weight = 0.5, **kwargs):
        super().__init__(spec, tables, **kwargs)
        if "search" in self.tasks:
            self.task_weights["search"] = search_weight
        self.item_encoder = FeatureEncoder(spec.num_items, {}, 1, units=None)

    def read(self, task, encoded, target, training):
        return target["candidates"][..., 0]

    def logits(self, task, rows, training):
        return rows


def give(model, is_target=None, **logits):
    """Sets the logits of items; returns the batch of them, `{task: (B, C)}`."""
    batch, flat = {}, [0.0]
    for task, values in logits.items():
        values = np.asarray(values, "float32")
        items = len(flat) + np.arange(values.size, dtype="int32")
        flat += values.ravel().tolist()
        batch[task] = {
            "candidates": items.reshape(values.shape),
            "history_row": np.zeros(len(values), "int32"),
            "is_target": np.full(len(values), True),
        }
        if is_target is not None:
            batch[task]["is_target"] = np.array(is_target)
    table = np.zeros((model.spec.num_items + 1, 1), "float32")
    table[: len(flat), 0] = flat
    model.item_encoder.id_embedding.embeddings.assign(table)
    return batch


def given(**options):
    """A `Given` of the tests' sizes."""
    return Given(SPEC, **options)


@keras.saving.register_keras_serializable("tests")
class Tiny(DotProductModel):
    """The mean of the clicked items, and the user or the query.

    Args:
        width: Width D of all embeddings.
        search_weight: Weight of the search task's loss.
    """

    needs = ("rec_items", "user", "query_words")

    def __init__(
        self,
        spec,
        tables=None,
        *,
        width: Size = 4,
        search_weight: Weight = 0.5,
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)
        if "search" in self.tasks:
            self.task_weights["search"] = search_weight
        self.item_encoder = FeatureEncoder(
            spec.num_items, spec.item_features, width, width
        )
        self.user_encoder = FeatureEncoder(
            spec.num_users, spec.user_features, width, width
        )
        self.query_encoder = QueryEncoder(spec.num_words, width, width)

    def encode_history(self, history, training):
        items = history["rec_items"]
        return masked_mean(self.encode_items(items), items > 0, axis=-2)

    def vector(self, task, encoded, target, training):
        own = target["query"] if task == "search" else target["user"]
        return 3.0 * (encoded + own)


@keras.saving.register_keras_serializable("tests")
class TinyFineTuned(FineTuned, Tiny):
    """`Tiny`, trained in two stages."""


def tiny(spec=SPEC, **options):
    """A `Tiny` with the tests' feature tables."""
    return Tiny(spec, feature_tables(spec), **options)
