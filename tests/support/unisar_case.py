"""A small UniSAR with random weights under the official code's names."""

import functools
import re

import numpy as np

from sar_tf.interop import unisar, weights
from sar_tf.models import UniSAR
from sar_tf.models.reduction import mean_of_terms
from support.batches import SPEC, batch, feature_tables
from support.layer_weights import numpy

OPTIONS = {
    "embedding_dim": 4,
    "hidden_dim": 8,
    "num_heads": 2,
    "num_layers": 1,
    "dropout": 0.0,
    "num_experts": 2,
    "expert_units": 6,
    "tower_units": (5, 4),
    "prediction_units": (6, 3),
}
REFERENCE = {
    "num_layers": 1,
    "fusion": "reference",
    "transition_negatives": "reference",
}
PAPER = {"fusion": "paper", "mmoe_head": "paper", "transition_negatives": "paper"}
# (recommendations, searches) of each history; SPEC holds at most (4, 3).
SIZES = [(4, 3), (2, 1), (0, 3), (1, 2), (4, 0), (0, 0)]


@functools.cache
def small_model(**options):
    """A built model with feature tables; dropout is off unless asked for.

    Building takes seconds: tests share the models, and set the weights that
    they depend on.
    """
    return UniSAR(SPEC, feature_tables(SPEC), **{**OPTIONS, **options})


def search_batch(histories, groups=None):
    """A batch of the search task alone, where the other takes the same way."""
    inputs = batch(SPEC, histories, groups)
    return {"history": inputs["history"], "search": inputs["search"]}


def scores_of(model, inputs):
    """`{task: scores}`, in NumPy."""
    return {task: numpy(x["scores"]) for task, x in model(inputs).items()}


def losses_of(model, inputs):
    """`{(task, loss's name): number}` of all tasks in one call."""
    return {
        (task, name): float(mean_of_terms(terms)[0])
        for task, outputs in model(inputs, training=True).items()
        for name, terms in outputs["losses"].items()
    }


def total_loss(model, inputs):
    return model.compute_loss(y_pred=model(inputs, training=True))


def assign_random(model, seed=3):
    """Sets random weights; returns them as `{official name: array}`."""
    state = random_state(model.spec, model.get_config(), seed)
    weights.assign(unisar.entries(model), state)
    return state


def random_state(spec, options, seed=0):
    """Weights of every official name; temperatures are positive."""
    rng = np.random.default_rng(seed)
    state = {
        name: rng.normal(0, 0.4, shape)
        for name, shape in _shapes(spec, options).items()
    }
    for i, name in enumerate(n for n in state if n.endswith("temp")):
        state[name] = np.array(0.2 + 0.1 * i)
    # Few units of ReLU: with negative biases all could be 0 for all inputs.
    for name in state:
        if name.endswith("bias") and re.match("ple_layer|..._fc_layer", name):
            state[name] = np.abs(state[name]) + 0.5
    return state


def _shapes(spec, options):
    small, width = options["embedding_dim"], options["hidden_dim"]
    caption_width = width if spec.caption_length else 0
    lengths = spec.max_rec_history, spec.max_search_history
    shapes = {
        "rec_query": (1, width),
        "query_embedding.query_encoder.word_embedding.weight": (
            spec.num_words + 1,
            small,
        ),
        **_linear("query_embedding.query_trans", small, width),
        **_features("item", spec.num_items, spec.item_features, options, caption_width),
        **_features("user", spec.num_users, spec.user_features, options, 0),
        "rec_pos.pe.weight": (lengths[0], width),
        "src_pos.pe.weight": (lengths[1], width),
        "global_pos_emb.pe.weight": (sum(lengths), width),
        "feature_alignment.infoNCE_loss.weight_matrix": (width, width),
        "feature_alignment.infoNCE_loss.temp": (),
    }
    for i in range(options["num_layers"]):
        for name in ("rec", "src", "global"):
            layer = f"{name}_transformer.transformer_encoder.layers.{i}"
            shapes |= _sublayers(layer, ("self_attn",), width)
        for name in ("rec", "src"):
            layer = f"{name}_cross_fusion.layers.{i}"
            shapes |= _sublayers(layer, ("self_attn", "multihead_attn"), width)
    for name in ("rec", "src"):
        shapes[f"{name}_his_attn_pooling.W"] = (1, width, width)
        shapes[f"{name}_his_cl.weight_matrix"] = (width, width)
        shapes[f"{name}_his_cl.infoNCE_temp"] = ()
    return shapes | _experts(options)


def _linear(name, inputs, outputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _features(kind, num, features, options, caption_width):
    small, name = options["embedding_dim"], f"session_embedding.{kind}_feat"
    sizes = {f"{kind}_id": num, **features}
    inputs = small * len(sizes) + caption_width
    return {
        **{
            f"{name}.{feature}_emb.weight": (n + 1, small)
            for feature, n in sizes.items()
        },
        **_linear(f"{name}.{kind}_trans", inputs, options["hidden_dim"]),
    }


def _sublayers(name, attentions, width):
    shapes = {}
    for attention in attentions:
        shapes[f"{name}.{attention}.in_proj_weight"] = (3 * width, width)
        shapes[f"{name}.{attention}.in_proj_bias"] = (3 * width,)
        shapes |= _linear(f"{name}.{attention}.out_proj", width, width)
    for i in range(len(attentions) + 1):
        shapes[f"{name}.norm{i + 1}.weight"] = (width,)
        shapes[f"{name}.norm{i + 1}.bias"] = (width,)
    shapes |= _linear(f"{name}.linear1", width, width)
    return shapes | _linear(f"{name}.linear2", width, width)


def _experts(options):
    count, units = options["num_experts"], options["expert_units"]
    inputs = 5 * options["hidden_dim"]
    hidden = [units, *options["tower_units"], *options["prediction_units"], 1]
    shapes = {}
    for i in range(count):
        shapes |= _linear(f"ple_layer.share_experts.0.{i}.mlp.0", inputs, units)
    for task, fc in enumerate(("rec_fc_layer", "src_fc_layer")):
        for i in range(count):
            name = f"ple_layer.task_experts.0.{task}.{i}.mlp.0"
            shapes |= _linear(name, inputs, units)
        shapes |= _linear(f"ple_layer.task_gates.0.{task}.0", inputs, 2 * count)
        names = [f"ple_layer.tower.{task}.mlp.{i}" for i in (0, 3)]
        names += [f"{fc}.fc.{i}" for i in (0, 3, 6)]
        for name, *sizes in zip(names, hidden[:-1], hidden[1:], strict=True):
            shapes |= _linear(name, *sizes)
    return shapes
