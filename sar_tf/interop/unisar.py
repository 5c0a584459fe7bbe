"""Names and layout of the official UniSAR checkpoints."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sar_tf.interop import weights as w

PREFIX = "session_embedding."

# Aliases, and copies that the official modules register but do not use.
IGNORED = (
    r"\.transformerEncoderLayer\.",
    r"(^|\.)transformerDecoderLayer\.",
    r"^ple_layer\.share_gates\.",
    r"\.caption_id_emb\.",
    r"\.caption_emb\.",
    r"^session_embedding\.query_feat\.",
)
# Ours: theirs.
_SCENARIOS = {"rec": "rec", "search": "src", "mixed": "global"}
_POSITIONS = {"rec": "rec_pos", "search": "src_pos", "mixed": "global_pos_emb"}
_TASK_INDEX = {"rec": 0, "search": 1}


def features(state: Mapping[str, np.ndarray]) -> dict[str, list[str]]:
    """Names of users' and items' features, with captions, in their order."""
    shapes = w.Shapes(state)
    found = {}
    for kind in ("user", "item"):
        names = shapes.names(rf"session_embedding\.{kind}_feat\.(\w+)_emb\.")
        found[kind] = [n for n in names if n not in (f"{kind}_id", "caption_id")]
    return found


def history_lengths(state: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Number of slots of both histories."""
    shapes = w.Shapes(state)
    return w.known(
        {
            "max_rec_history": shapes.size("rec_pos.pe.weight"),
            "max_search_history": shapes.size("src_pos.pe.weight"),
        }
    )


def hyperparameters(
    state: Mapping[str, np.ndarray], data_features: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Hyperparameters that follow from the shapes of the weights.

    Args:
        state: `{official name: array}`.
        data_features: not used, all embeddings have the same width.
    """
    shapes = w.Shapes(state)
    word = "query_embedding.query_encoder.word_embedding.weight"
    item = "session_embedding.item_feat.item_id_emb.weight"
    return w.known(
        {
            "embedding_dim": shapes.first(shapes.size(word, 1), shapes.size(item, 1)),
            "hidden_dim": shapes.first(
                shapes.size("query_embedding.query_trans.bias"),
                shapes.size("rec_query", 1),
            ),
            "num_layers": len(
                shapes.names(r"rec_transformer\.transformer_encoder\.layers\.(\d+)\.")
            ),
            "num_experts": len(shapes.names(r"ple_layer\.share_experts\.0\.(\d+)\.")),
            "expert_units": shapes.first(
                shapes.size("ple_layer.share_experts.0.0.mlp.0.bias"),
                shapes.size("ple_layer.share_experts.0.0.mlp.0.weight"),
            ),
            "tower_units": shapes.units("ple_layer.tower.0.mlp"),
            "prediction_units": shapes.units("rec_fc_layer.fc")[:-1],
        }
    )


def entries(
    model: Any, official_features: Mapping[str, Sequence[str]] | None = None
) -> list[w.Entry]:
    """Mapping of the weights of a built UniSAR.

    Args:
        model: the model.
        official_features: `features` of the official weights; None if they have
            the model's order.
    """
    official_features = official_features or {
        "user": list(model.user_encoder.features),
        "item": ["caption"] * bool(model.item_encoder.caption_length)
        + list(model.item_encoder.features),
    }
    name = "session_embedding"
    items, users = official_features["item"], official_features["user"]
    return [
        w.entry(model.rec_query, "rec_query"),
        w.embedding(
            model.query_encoder.word_embedding,
            "query_embedding.query_encoder.word_embedding",
        ),
        *w.dense(model.query_encoder.dense, "query_embedding.query_trans"),
        *_feature_encoder(model.item_encoder, f"{name}.item_feat", "item", items),
        *_feature_encoder(model.user_encoder, f"{name}.user_feat", "user", users),
        *(
            w.embedding(model.position_embedding[ours], f"{theirs}.pe")
            for ours, theirs in _POSITIONS.items()
        ),
        *_transitions(model),
        *_contrast(model),
        *_experts(model),
    ]


def _feature_encoder(encoder, prefix, kind, official):
    named = {f"{kind}_id": encoder.id_embedding}
    named.update(zip(encoder.features, encoder.feature_embeddings, strict=True))
    widths = {f"{kind}_id": encoder.embedding_dim}
    if encoder.caption_length:
        widths["caption"] = encoder.units
    widths.update(zip(encoder.features, encoder.feature_dims, strict=True))
    return [
        *(w.embedding(layer, f"{prefix}.{name}_emb") for name, layer in named.items()),
        *w.dense_of_blocks(
            encoder.dense, f"{prefix}.{kind}_trans", [f"{kind}_id", *official], widths
        ),
    ]


def _transitions(model):
    result = []
    for ours, theirs in _SCENARIOS.items():
        for i, layer in enumerate(model.encoders[ours]):
            name = f"{theirs}_transformer.transformer_encoder.layers.{i}"
            result += w.attention(layer.attention, f"{name}.self_attn")
            result += w.layer_norm(layer.attention_norm, f"{name}.norm1")
            result += _feed_forward(layer, name, "norm2")
    for ours in ("rec", "search"):
        theirs = _SCENARIOS[ours]
        for i, layer in enumerate(model.fusions[ours]):
            name = f"{theirs}_cross_fusion.layers.{i}"
            result += w.attention(layer.self_attention, f"{name}.self_attn")
            result += w.layer_norm(layer.self_attention_norm, f"{name}.norm1")
            result += w.attention(layer.cross_attention, f"{name}.multihead_attn")
            result += w.layer_norm(layer.cross_attention_norm, f"{name}.norm2")
            result += _feed_forward(layer, name, "norm3")
        result.append(
            w.Entry(
                model.target_attention[ours].kernel,
                (f"{theirs}_his_attn_pooling.W",),
                lambda weight: np.squeeze(weight, axis=0),
            )
        )
    return result


def _feed_forward(layer, name, norm):
    return [
        *w.dense(layer.feed_forward_in, f"{name}.linear1"),
        *w.dense(layer.feed_forward_out, f"{name}.linear2"),
        *w.layer_norm(layer.feed_forward_norm, f"{name}.{norm}"),
    ]


def _contrast(model):
    name = "feature_alignment.infoNCE_loss"
    result = [
        w.entry(model.query_item_contrast.kernel, f"{name}.weight_matrix"),
        w.entry(model.query_item_contrast.temperature, f"{name}.temp"),
    ]
    for ours, layer in model.transition_alignment.items():
        name = f"{_SCENARIOS[ours]}_his_cl"
        result += [
            w.entry(layer.kernel, f"{name}.weight_matrix"),
            w.entry(layer.temperature, f"{name}.infoNCE_temp"),
        ]
    return result


def _experts(model):
    layer = model.experts
    shared = [
        f"ple_layer.share_experts.0.{i}.mlp.0" for i in range(layer.num_shared_experts)
    ]
    result = _side_by_side(layer.shared, shared)
    for task, index in _TASK_INDEX.items():
        own = [
            f"ple_layer.task_experts.0.{index}.{i}.mlp.0"
            for i in range(layer.num_task_experts)
        ]
        result += _side_by_side(layer.task_experts[task], own)
        gate = f"ple_layer.task_gates.0.{index}.0"
        kernel, bias = layer.gates[task]
        result += [
            w.transposed(kernel, f"{gate}.weight"),
            w.entry(bias, f"{gate}.bias"),
        ]
        network = model.prediction[task]
        dense = [*network.hidden, network.logit]
        num_towers = len(model.get_config()["tower_units"])
        # ReLU and dropout are between two dense layers.
        names = [
            *(f"ple_layer.tower.{index}.mlp.{3 * i}" for i in range(num_towers)),
            *(
                f"{_SCENARIOS[task]}_fc_layer.fc.{3 * i}"
                for i in range(len(dense) - num_towers)
            ),
        ]
        for layer_of_task, name in zip(dense, names, strict=True):
            result += w.dense(layer_of_task, name)
    return result


def _side_by_side(variables, names):
    return [
        w.transposed(variables["kernel"], *(f"{name}.weight" for name in names)),
        w.concatenated(variables["bias"], *(f"{name}.bias" for name in names)),
    ]
