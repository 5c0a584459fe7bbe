"""Names and layout of the official UniSAR checkpoints."""

import numpy as np

from sar_tf.interop import weights as w

# Copies that the official modules register but do not use, and aliases.
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


def entries(model):
    """Mapping of the weights of a built UniSAR."""
    features = "session_embedding"
    return [
        w.entry(model.rec_query, "rec_query"),
        w.embedding(
            model.query_encoder.word_embedding,
            "query_embedding.query_encoder.word_embedding",
        ),
        *w.dense(model.query_encoder.dense, "query_embedding.query_trans"),
        *_feature_encoder(model.item_encoder, f"{features}.item_feat", "item"),
        *_feature_encoder(model.user_encoder, f"{features}.user_feat", "user"),
        *(
            w.embedding(model.position_embedding[ours], f"{theirs}.pe")
            for ours, theirs in _POSITIONS.items()
        ),
        *_transitions(model),
        *_contrast(model),
        *_experts(model),
    ]


def _feature_encoder(encoder, prefix, kind):
    named = {f"{kind}_id": encoder.id_embedding}
    named.update(zip(encoder.features, encoder.feature_embeddings, strict=True))
    return [
        *(w.embedding(layer, f"{prefix}.{name}_emb") for name, layer in named.items()),
        *w.dense(encoder.dense, f"{prefix}.{kind}_trans"),
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
        tower = [f"ple_layer.tower.{index}.mlp.{i}" for i in (0, 3)]
        fc = [f"{_SCENARIOS[task]}_fc_layer.fc.{i}" for i in (0, 3, 6)]
        network = model.prediction[task]
        for dense, name in zip(
            [*network.hidden, network.logit], tower + fc, strict=True
        ):
            result += w.dense(dense, name)
    return result


def _side_by_side(variables, names):
    return [
        w.transposed(variables["kernel"], *(f"{name}.weight" for name in names)),
        w.concatenated(variables["bias"], *(f"{name}.bias" for name in names)),
    ]
