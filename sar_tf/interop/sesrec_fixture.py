"""Our sizes and batches from the fixtures of the official SESRec."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sar_tf.interop import sesrec
from sar_tf.interop.pairs import slot_pairs
from sar_tf.spec import DataSpec

_MASKS = ("positive", "negative")
# Ours: theirs.
_LOSSES = {
    "click_loss": "click_loss",
    "query_item_loss": "alignment_loss",
    "contrast_loss": "contrast_loss",
}


def data_spec(fixture: Any) -> DataSpec:
    """`DataSpec` of the weights and inputs."""
    state, inputs = fixture.state, fixture.inputs
    features = sesrec.features(state)

    def highest(name):
        return len(state[f"{name}_emb.weight"]) - 1

    def feature_sizes(kind, prefix):
        return {name: highest(f"{prefix}_{name}") for name in features[kind]}

    prefix = sesrec.PREFIX
    return DataSpec(
        num_users=highest("user_feat.user_id"),
        num_items=highest(f"{prefix}item_feat.item_id"),
        num_words=highest(f"{prefix}query_word_segs"),
        num_queries=highest(f"{prefix}query_id"),
        num_search_sources=highest(f"{prefix}query_search_source"),
        max_query_words=inputs["query_words"].shape[-1],
        max_clicked_items=inputs["clicked_items"].shape[-1],
        user_features=feature_sizes("user", "user_feat.user"),
        item_features=feature_sizes("item", f"{prefix}item_feat.item"),
        **sesrec.history_lengths(state),
    )


def hyperparameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters that do not follow from the shapes of the weights."""
    return {
        "num_heads": config["num_heads"],
        "triplet_margin": config["triplet_margin"],
        "query_item_temperature": config["alignment_temperature"],
    }


def feature_tables(fixture: Any) -> dict[str, dict[str, np.ndarray]]:
    """Feature look-up tables as a model takes them."""
    tables: dict[str, dict[str, np.ndarray]] = {"user": {}, "item": {}}
    for key, table in fixture.tables.items():
        kind, _, name = key.partition("_")
        if kind in tables:
            tables[kind][name] = table
    return tables


def batch(fixture: Any) -> dict[str, dict[str, np.ndarray]]:
    """A fixture's inputs as a batch of the recommendation task."""
    inputs = {name: array.astype("int32") for name, array in fixture.inputs.items()}
    history = {
        "rec_items": inputs["rec_history"],
        "search_queries": inputs["query_history"],
        "search_words": inputs["query_words"],
        "clicked_items": inputs["clicked_items"],
        "search_sources": inputs["search_source"],
        "search_mask": inputs["query_history"] > 0,
    }
    candidates = [inputs["item"][:, None], inputs["neg_items"]]
    rec = {
        "user": inputs["user"],
        "candidates": np.concatenate(candidates, axis=1),
        "history_row": np.arange(len(inputs["user"]), dtype="int32"),
        "is_target": np.full(len(inputs["user"]), True),
        "sampled_items": inputs["align_neg_item"],
        "sampled_queries": inputs["align_neg_query"],
        "sampled_query_words": inputs["align_neg_query_words"],
        **slot_pairs(history),
    }
    return {"history": history, "rec": rec}


def outputs(model: Any, batch: dict) -> dict[str, Any]:
    """Scores of the positives, losses and masks under the official names."""
    losses = model.losses_of("rec", batch)
    read = model.encode_history(batch["history"], training=False)["masks"]
    masks = {
        f"mask_{scenario}_{side}": mask
        for scenario, (_, *sides) in read.items()
        for side, mask in zip(_MASKS, sides, strict=True)
    }
    return {
        "scores": model.score("rec", batch)[:, 0],
        **{theirs: losses[ours] for ours, theirs in _LOSSES.items()},
        **masks,
    }
