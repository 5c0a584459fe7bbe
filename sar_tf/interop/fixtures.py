"""Golden fixtures: inputs and outputs of the official code, as our batches.

A fixture is an .npz with `config` (JSON), `state/…` (weights), `input/…`,
`table/…` (feature look-up tables) and `output/…`.
"""

import dataclasses
import json

import numpy as np

from sar_tf.interop import unisar, weights
from sar_tf.models import DataSpec, UniSAR


@dataclasses.dataclass(frozen=True)
class Fixture:
    """The parts of a fixture file, by name."""

    config: dict
    state: dict
    inputs: dict
    tables: dict
    outputs: dict

    @classmethod
    def load(cls, path):
        """Reads a fixture; a part that is missing is named."""
        with np.load(path) as archive:
            if "config" not in archive.files:
                raise ValueError(f"{path}: no 'config'; is this a fixture?")
            parts = {"state": {}, "input": {}, "table": {}, "output": {}}
            for key in archive.files:
                part, _, name = key.partition("/")
                if part in parts:
                    parts[part][name] = archive[key]
            config = json.loads(str(archive["config"]))
        empty = [part for part, arrays in parts.items() if not arrays]
        if empty:
            raise ValueError(f"{path}: nothing under {', '.join(empty)}")
        return cls(
            config, parts["state"], parts["input"], parts["table"], parts["output"]
        )


def unisar_model(fixture):
    """UniSAR with a fixture's sizes, weights and feature tables."""
    config, state = fixture.config, fixture.state
    sizes = {
        name: len(state[f"session_embedding.{feat}_feat.{name}_emb.weight"]) - 1
        for name, feat in _feature_names(state)
    }
    items = {n: sizes[n] for n, kind in _feature_names(state) if kind == "item"}
    users = {n: sizes[n] for n, kind in _feature_names(state) if kind == "user"}
    captions = fixture.tables.get("item/caption")
    spec = DataSpec(
        num_users=users.pop("user_id"),
        num_items=items.pop("item_id"),
        num_words=len(state["query_embedding.query_encoder.word_embedding.weight"]) - 1,
        num_queries=0,
        num_search_sources=0,
        max_rec_history=config["max_history"],
        max_search_history=config["max_history"],
        max_query_words=config["max_query_words"],
        max_clicked_items=config["max_session_items"],
        user_features=users,
        item_features=items,
        caption_length=0 if captions is None else captions.shape[1],
    )
    model = UniSAR(
        spec,
        embedding_dim=config["embedding_dim"],
        hidden_dim=config["hidden_dim"],
        num_heads=config["num_heads"],
        num_layers=config["num_layers"],
        dropout=0.0,
        expert_units=len(state["ple_layer.share_experts.0.0.mlp.0.weight"]),
        tower_units=[len(state[f"ple_layer.tower.0.mlp.{i}.weight"]) for i in (0, 3)],
        prediction_units=config["prediction_units"][:-1],
        query_item_temperature=config["query_item_temperature"],
        query_item_weight=config["query_item_weight"],
        transition_temperature=config["transition_temperature"],
        transition_weight=config["transition_weight"],
    )
    model.build_on(unisar_batch(fixture))
    weights.assign(unisar.entries(model), state, unisar.IGNORED)
    model.set_feature_tables(
        {
            kind: {
                name.partition("/")[2]: table
                for name, table in fixture.tables.items()
                if name.startswith(f"{kind}/")
            }
            for kind in ("user", "item")
        }
    )
    return model


def _feature_names(state):
    """(feature, "item" or "user") of each embedding table, in the official order."""
    names = []
    for key in state:
        for kind in ("item", "user"):
            prefix = f"session_embedding.{kind}_feat."
            name = key.removeprefix(prefix)
            if key.startswith(prefix) and name.endswith("_emb.weight"):
                names.append((name.removesuffix("_emb.weight"), kind))
    return names


def unisar_batch(fixture):
    """A fixture's inputs as a batch of both tasks."""
    inputs = fixture.inputs
    candidates = np.concatenate(
        [inputs["item"][:, None], inputs["neg_items"]], axis=1
    ).astype("int32")
    shared = {
        "user": inputs["user"].astype("int32"),
        "candidates": candidates,
        "sampled_items": inputs["align_neg_item"].astype("int32"),
        "sampled_query_words": inputs["align_neg_query"].astype("int32"),
        "history": (_mixed_history(fixture),),
    }
    search = {**shared, "query_words": inputs["query"].astype("int32")}
    return {"rec": shared, "search": search}


def _mixed_history(fixture):
    """Splits the official mixed sequence (type 1 or 2) into both histories."""
    behaviors, types = fixture.inputs["all_his"], fixture.inputs["all_his_type"]
    length = fixture.config["max_history"]
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
