"""Names and layout of the official SESRec checkpoints."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sar_tf.interop import weights as w

PREFIX = "query_item_feat."
IGNORED = ()

_KINDS = {"user": "user_feat.user", "item": "query_item_feat.item_feat.item"}
# Ours: theirs.
_SCENARIOS = {"rec": "rec", "search": "src"}


def features(state: Mapping[str, np.ndarray]) -> dict[str, list[str]]:
    """Names of users' and items' features in their order."""
    shapes = w.Shapes(state)
    found = {}
    for kind, prefix in _KINDS.items():
        names = shapes.names(prefix.replace(".", r"\.") + r"_(\w+)_emb\.weight$")
        found[kind] = [name for name in names if name != "id"]
    return found


def history_lengths(state: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Number of slots of both histories."""
    shapes = w.Shapes(state)
    return w.known(
        {
            "max_rec_history": shapes.size("rec_pos_emb.pe.weight"),
            "max_search_history": shapes.size("src_pos_emb.pe.weight"),
        }
    )


def hyperparameters(
    state: Mapping[str, np.ndarray], data_features: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Hyperparameters that follow from the shapes of the weights.

    Args:
        state: `{official name: array}`.
        data_features: `{"user": names, "item": names}` of the features in the
            order of the model's data.
    """
    shapes = w.Shapes(state)
    width = shapes.first(
        shapes.size("query_item_feat.item_trans.bias"),
        shapes.size("query_item_feat.query_trans.bias"),
    )
    prediction = shapes.size("fc_layer.fc.0.weight", 1)
    totals = {"item": width, "user": None}
    if width is not None and prediction is not None:
        totals["user"] = prediction - 7 * width  # 6 interests and the item
    dims = {
        f"{kind}_dims": _widths(shapes, kind, data_features[kind], total)
        for kind, total in totals.items()
    }
    return w.known(
        {
            **dims,
            "query_dim": shapes.size("query_item_feat.query_id_emb.weight", 1),
            "word_dim": shapes.size("query_item_feat.query_word_segs_emb.weight", 1),
            "num_layers": len(
                shapes.names(r"rec_his_transformer_layer\.layer\.(\d+)\.")
            ),
            "prediction_units": shapes.units("fc_layer.fc")[:-1],
        }
    )


def _widths(shapes, kind, names, total):
    """Widths of the id's and features' embeddings; one missing width is the rest."""
    widths = [
        shapes.size(f"{_KINDS[kind]}_{name}_emb.weight", 1) for name in ("id", *names)
    ]
    if widths.count(None) == 1 and total is not None:
        left = total - sum(width for width in widths if width is not None)
        widths[widths.index(None)] = max(left, 1)
    return () if None in widths else tuple(widths)


def entries(
    model: Any, official_features: Mapping[str, Sequence[str]]
) -> list[w.Entry]:
    """Mapping of the weights of a built SESRec.

    Args:
        model: the full model, not an ablation.
        official_features: `features` of the official weights.
    """
    items = _embedding_widths(model.item_encoder)
    return [
        *_embeddings(model.item_encoder, "item"),
        *_embeddings(model.user_encoder, "user"),
        w.embedding(model.query_encoder.query_embedding, f"{PREFIX}query_id_emb"),
        w.embedding(model.query_encoder.word_embedding, f"{PREFIX}query_word_segs_emb"),
        w.embedding(model.source_embedding, f"{PREFIX}query_search_source_emb"),
        *w.dense(model.query_encoder.dense, f"{PREFIX}query_trans"),
        *w.dense_of_blocks(
            model.item_encoder.dense,
            f"{PREFIX}item_trans",
            ["id", *official_features["item"]],
            items,
        ),
        *_encoders(model),
        *_interests(model),
        *_prediction(model, official_features["user"]),
    ]


def _embeddings(encoder, kind):
    named = {"id": encoder.id_embedding}
    named.update(zip(encoder.features, encoder.feature_embeddings, strict=True))
    return [
        w.embedding(layer, f"{_KINDS[kind]}_{name}_emb")
        for name, layer in named.items()
    ]


def _embedding_widths(encoder):
    widths = dict(zip(encoder.features, encoder.feature_dims, strict=True))
    return {"id": encoder.embedding_dim, **widths}


def _encoders(model):
    result = []
    for ours, theirs in _SCENARIOS.items():
        result.append(
            w.embedding(model.position_embedding[ours], f"{theirs}_pos_emb.pe")
        )
        for i, layer in enumerate(model.encoders[ours]):
            name = f"{theirs}_his_transformer_layer.layer.{i}"
            attention = f"{name}.multi_head_attention"
            feed_forward = f"{name}.feed_forward"
            result += [
                *w.attention(layer.attention, f"{attention}.multi_head_attention"),
                *w.layer_norm(layer.attention_norm, f"{attention}.LayerNorm"),
                *w.dense(layer.feed_forward_in, f"{feed_forward}.dense_1"),
                *w.dense(layer.feed_forward_out, f"{feed_forward}.dense_2"),
                *w.layer_norm(layer.feed_forward_norm, f"{feed_forward}.LayerNorm"),
            ]
    return result


def _interests(model):
    co_attention = "interest_contrast.co_att"
    alignment = "feature_alignment.infoNCE_loss"
    layer = model.co_attention
    return [
        w.entry(layer.affinity_kernel, f"{co_attention}.W1"),
        _without_leading_axis(layer.rec_kernel, f"{co_attention}.Wq"),
        _without_leading_axis(layer.search_kernel, f"{co_attention}.Wd"),
        *(
            _without_leading_axis(
                model.target_attention[ours].kernel, f"{theirs}_his_att_pooling.W"
            )
            for ours, theirs in _SCENARIOS.items()
        ),
        w.entry(model.query_item_contrast.kernel, f"{alignment}.weight_matrix"),
        w.entry(model.query_item_contrast.temperature, f"{alignment}.temp"),
    ]


def _without_leading_axis(variable, name):
    return w.Entry(variable, (name,), lambda weight: np.squeeze(weight, axis=0))


def _prediction(model, official_users):
    """The MLP. Users' features are part of its input, so their order matters."""
    network = model.prediction
    width = model.item_encoder.units
    blocks = {
        "interests": 6 * width,
        **_embedding_widths(model.user_encoder),
        "item": width,
    }
    official = ["interests", "id", *official_users, "item"]
    dense = [*network.hidden, network.logit]
    result = w.dense_of_blocks(dense[0], "fc_layer.fc.0", official, blocks)
    for i, layer in enumerate(dense[1:], start=1):
        result += w.dense(layer, f"fc_layer.fc.{3 * i}")
    return result
