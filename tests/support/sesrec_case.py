"""A small SESRec with random weights, and batches for it."""

import numpy as np

from sar_tf.interop.pairs import slot_pairs
from sar_tf.models import SESRec
from support.batches import SPEC, batch, feature_tables
from support.layer_weights import numpy, randomize

OPTIONS = {
    "item_dims": (4, 2),
    "user_dims": (3,),
    "query_dim": 3,
    "word_dim": 2,
    "num_heads": 2,
    "dropout": 0.0,
    "prediction_units": (6, 3),
}


def rec_batch(spec, histories, groups=None, seed=0):
    """A batch of recommendations whose searches have query ids and sources."""
    rng = np.random.default_rng(seed)
    inputs = batch(spec, histories, groups)
    history = inputs["history"]
    mask = history["search_mask"]
    highest_ids = {
        "search_queries": spec.num_queries,
        "search_sources": spec.num_search_sources,
    }
    for name, highest in highest_ids.items():
        drawn = rng.integers(min(highest, 1), highest + 1, mask.shape)
        history[name] = np.where(mask, drawn, 0).astype("int32")
    # The pairs are of these queries.
    return {"history": history, "rec": {**inputs["rec"], **slot_pairs(history)}}


def small_model(spec=SPEC, seed=0, **options):
    """A model with random weights and feature tables."""
    model = SESRec(spec, feature_tables(spec), **{**OPTIONS, **options})
    if "query_item_loss" in model.loss_weights:
        temperature = float(model.query_item_contrast.temperature)
        randomize(model, seed)
        model.query_item_contrast.temperature.assign(temperature)
        return model
    return randomize(model, seed)


def scores_of(model, inputs):
    return numpy(model(inputs)["rec"]["scores"])


def losses_of(model, inputs):
    return {name: float(x) for name, x in model.losses_of("rec", inputs).items()}
