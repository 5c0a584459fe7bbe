"""Random weights of layers, and the same weights as numpy_equations reads them."""

import keras
import numpy as np
from keras import ops


def randomize(layer, seed=0, scale=0.5):
    """Sets every trainable weight, biases and norms included, at random."""
    rng = np.random.default_rng(seed)
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(0, scale, variable.shape))
    return layer


def numpy(x):
    return ops.convert_to_numpy(x)


def round_trip(layer, *inputs, **kwargs):
    """A copy of a built layer, through its config, with the same weights."""
    config = keras.layers.serialize(layer)
    copy = keras.layers.deserialize(config)
    copy(*inputs, **kwargs)
    copy.set_weights(layer.get_weights())
    assert copy.get_config() == layer.get_config()
    return copy


def dense(layer, name):
    return {
        f"{name}.weight": numpy(layer.kernel).T,
        f"{name}.bias": numpy(layer.bias),
    }


def _norm(layer, name):
    return {f"{name}.weight": numpy(layer.gamma), f"{name}.bias": numpy(layer.beta)}


def attention(layer, prefix=""):
    return {
        f"{prefix}in_proj_weight": numpy(layer.qkv_kernel).T,
        f"{prefix}in_proj_bias": numpy(layer.qkv_bias),
        **dense(layer.output_dense, f"{prefix}out_proj"),
    }


def encoder(layer):
    return {
        **attention(layer.attention, "self_attn."),
        **_norm(layer.attention_norm, "norm1"),
        **_feed_forward(layer),
        **_norm(layer.feed_forward_norm, "norm2"),
    }


def fusion(layer):
    return {
        **attention(layer.self_attention, "self_attn."),
        **_norm(layer.self_attention_norm, "norm1"),
        **attention(layer.cross_attention, "multihead_attn."),
        **_norm(layer.cross_attention_norm, "norm2"),
        **_feed_forward(layer),
        **_norm(layer.feed_forward_norm, "norm3"),
    }


def _feed_forward(layer):
    return {
        **dense(layer.feed_forward_in, "linear1"),
        **dense(layer.feed_forward_out, "linear2"),
    }
