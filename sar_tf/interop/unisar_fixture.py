"""Our sizes and batches from the fixtures of the official UniSAR."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sar_tf.interop import unisar
from sar_tf.interop.pairs import slot_pairs
from sar_tf.spec import DataSpec

# Ours: theirs.
_TASKS = {"rec": "rec", "search": "src"}
_LOSSES = {
    "click_loss": "click_loss",
    "query_item_loss": "q_i_cl_loss",
    "transition_loss": "his_cl_loss",
}
_CONFIG = (
    "num_heads",
    "query_item_temperature",
    "query_item_weight",
    "transition_temperature",
    "transition_weight",
)


def data_spec(fixture: Any) -> DataSpec:
    """`DataSpec` of the weights and tables."""
    state, tables = fixture.state, fixture.tables
    features = unisar.features(state)
    prefix = "session_embedding"

    def highest(kind, name):
        return len(state[f"{prefix}.{kind}_feat.{name}_emb.weight"]) - 1

    captions = tables.get("item/caption")
    return DataSpec(
        num_users=highest("user", "user_id"),
        num_items=highest("item", "item_id"),
        num_words=len(state["query_embedding.query_encoder.word_embedding.weight"]) - 1,
        num_queries=0,
        num_search_sources=0,
        max_query_words=tables["session/keyword"].shape[1],
        max_clicked_items=tables["session/pos_items"].shape[1],
        user_features={name: highest("user", name) for name in features["user"]},
        item_features={
            name: highest("item", name)
            for name in features["item"]
            if name != "caption"
        },
        caption_length=0 if captions is None else captions.shape[1],
        **unisar.history_lengths(state),
    )


def hyperparameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters that do not follow from the shapes of the weights."""
    return {name: config[name] for name in _CONFIG if name in config}


def feature_tables(fixture: Any) -> dict[str, dict[str, np.ndarray]]:
    """Feature look-up tables as a model takes them."""
    tables: dict[str, dict[str, np.ndarray]] = {"user": {}, "item": {}}
    for key, table in fixture.tables.items():
        kind, _, name = key.partition("/")
        if kind in tables:
            tables[kind][name] = table
    return tables


def batch(fixture: Any) -> dict[str, dict[str, np.ndarray]]:
    """A fixture's inputs as a batch of both tasks."""
    inputs = fixture.inputs
    candidates = np.concatenate([inputs["item"][:, None], inputs["neg_items"]], axis=1)
    history = _histories(fixture)
    shared = {
        "user": inputs["user"].astype("int32"),
        "candidates": candidates.astype("int32"),
        "history_row": np.arange(len(candidates), dtype="int32"),
        "is_target": np.full(len(candidates), True),
        "sampled_items": inputs["align_neg_item"].astype("int32"),
        "sampled_query_words": inputs["align_neg_query"].astype("int32"),
        **slot_pairs(history),
    }
    search = {**shared, "query_words": inputs["query"].astype("int32")}
    return {"history": history, "rec": shared, "search": search}


def _histories(fixture):
    """Splits the official mixed sequence (type 1 or 2) into both histories."""
    behaviors, types = fixture.inputs["all_his"], fixture.inputs["all_his_type"]
    length = unisar.history_lengths(fixture.state)["max_rec_history"]
    # A stable sort by type keeps each sub-history in its own order.
    order = np.argsort(types, axis=1, kind="stable")
    behaviors = np.take_along_axis(behaviors, order, axis=1)
    rec, search = behaviors[:, :length], behaviors[:, length:]
    return {
        "rec_items": rec.astype("int32"),
        "rec_positions": order[:, :length].astype("int32"),
        "search_words": fixture.tables["session/keyword"][search].astype("int32"),
        "clicked_items": fixture.tables["session/pos_items"][search].astype("int32"),
        "search_mask": search > 0,
        "search_positions": order[:, length:].astype("int32"),
    }


def outputs(model: Any, batch: dict) -> dict[str, Any]:
    """Scores and losses under the official names."""
    computed = {}
    for ours, theirs in _TASKS.items():
        losses = model.losses_of(ours, batch)
        computed[f"{theirs}_scores"] = model.score(ours, batch)
        for name, official in _LOSSES.items():
            computed[f"{theirs}_{official}"] = losses[name]
        # The official total of a task omits its weight gamma.
        weights = {"click_loss": 1.0, **model.loss_weights}
        computed[f"{theirs}_total_loss"] = sum(
            weights[name] * losses[name] for name in _LOSSES
        )
    return computed
