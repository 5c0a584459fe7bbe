"""Each sublayer's dropout acts by itself: all other rates are 0, two draws differ."""

import keras
import numpy as np
import pytest
from support.batches import SPEC, batch, feature_tables, random_histories
from support.layer_weights import numpy, randomize
from support.unisar_case import OPTIONS as UNISAR_OPTIONS

from sar_tf.layers.attention import TransitionEncoder, TransitionFusion
from sar_tf.models import SESRec, UniSAR

SESREC_OPTIONS = {
    "item_dims": (4, 2),
    "user_dims": (3,),
    "query_dim": 3,
    "word_dim": 2,
    "num_heads": 2,
    "dropout": 0.5,
    "prediction_units": (6, 3),
}
HISTORIES = random_histories(SPEC, [(4, 3), (2, 1)])
X, Y = np.random.default_rng(0).normal(size=(2, 2, 3, 4)).astype("float32")
MASK = np.ones((2, 3), bool)
ENCODER = {"attention": "attention.output_dense", "feed_forward": "feed_forward_out"}
FUSION = {
    "self_attention": "self_attention.output_dense",
    "cross_attention": "cross_attention.output_dense",
    "feed_forward": "feed_forward_out",
}


def assert_draws_differ(monkeypatch, whole, dropouts, compute):
    """Two draws of training differ where these layers drop, and no other of a whole."""
    for dropout in dropouts_of(whole):
        monkeypatch.setattr(dropout, "rate", 0.0)
    kept = [numpy(compute(True)) for _ in range(2)]
    np.testing.assert_array_equal(*kept)
    for dropout in dropouts:
        monkeypatch.setattr(dropout, "rate", 0.5)
    drawn = [numpy(compute(True)) for _ in range(2)]
    assert not np.allclose(*drawn)
    # Outside of training, layer normalization adds up in another order.
    np.testing.assert_allclose(numpy(compute(False)), kept[0], rtol=1e-5, atol=1e-6)


def dropouts_of(layer):
    return [
        part
        for part in layer._flatten_layers()
        if isinstance(part, keras.layers.Dropout)
    ]


def attribute(layer, path):
    for name in path.split("."):
        layer = getattr(layer, name)
    return layer


def small_layer(kind):
    layer = kind(num_heads=2, dropout=0.5)
    layer(X, Y, MASK)
    return randomize(layer)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (TransitionEncoder, "inner_dropout"),
        (TransitionEncoder, "attention.dropout"),
        (TransitionFusion, "inner_dropout"),
        (TransitionFusion, "self_attention.dropout"),
        (TransitionFusion, "cross_attention.dropout"),
    ],
)
def test_inside_sublayers(monkeypatch, kind, path):
    layer = small_layer(kind)
    dropout = attribute(layer, path)
    assert_draws_differ(
        monkeypatch,
        layer,
        [dropout],
        lambda training: layer(X, Y, MASK, training=training),
    )


@pytest.mark.parametrize(
    ("kind", "sublayers", "name"),
    [(TransitionEncoder, ENCODER, name) for name in ENCODER]
    + [(TransitionFusion, FUSION, name) for name in FUSION],
)
def test_on_the_output_of_a_sublayer(monkeypatch, kind, sublayers, name):
    """The outputs of the other sublayers are 0, so nothing of them can be dropped."""
    layer = small_layer(kind)
    for other, path in sublayers.items():
        if other != name:
            dense = attribute(layer, path)
            dense.set_weights([np.zeros(x.shape) for x in dense.get_weights()])
    assert_draws_differ(
        monkeypatch,
        layer,
        [layer.dropout],
        lambda training: layer(X, Y, MASK, training=training),
    )


@pytest.fixture(scope="module")
def unisar():
    model = UniSAR(SPEC, feature_tables(SPEC), **{**UNISAR_OPTIONS, "dropout": 0.5})
    return randomize(model), batch(SPEC, HISTORIES)


@pytest.mark.parametrize("scenario", ["rec", "search"])
@pytest.mark.parametrize("part", ["same", "mixed", "fusion"])
def test_unisar_transitions(monkeypatch, unisar, scenario, part):
    model, inputs = unisar
    layers, read = {
        "same": (model.encoders[scenario], lambda x: x["views"][scenario][1]),
        "mixed": (model.encoders["mixed"], lambda x: x["views"][scenario][0]),
        "fusion": (model.fusions[scenario], lambda x: x["fused"][scenario]),
    }[part]
    assert_draws_differ(
        monkeypatch,
        model,
        [dropout for layer in layers for dropout in dropouts_of(layer)],
        lambda training: read(model.encode_history(inputs["history"], training)),
    )


@pytest.mark.parametrize("task", ["rec", "search"])
@pytest.mark.parametrize("part", ["experts", "prediction"])
def test_unisar_heads(monkeypatch, unisar, task, part):
    model, _ = unisar
    random = np.random.default_rng(1).normal
    width = UNISAR_OPTIONS["hidden_dim"]
    rows = {
        "candidates": random(size=(4, 3, 3 * width)).astype("float32"),
        "candidate_views": [],
        "context": random(size=(4, 2 * width)).astype("float32"),
    }
    layer = model.experts if part == "experts" else model.prediction[task]
    assert_draws_differ(
        monkeypatch,
        model,
        dropouts_of(layer),
        lambda training: model.logits(task, rows, training),
    )


@pytest.fixture(scope="module")
def sesrec():
    model = SESRec(SPEC, feature_tables(SPEC), **SESREC_OPTIONS)
    history = batch(SPEC, HISTORIES)["history"]
    for name in ("search_queries", "search_sources"):
        history[name] = history["search_mask"].astype("int32")
    return randomize(model), history


@pytest.mark.parametrize("scenario", ["rec", "search"])
def test_sesrec_encoders(monkeypatch, sesrec, scenario):
    model, history = sesrec

    def encode(training):
        return model.encode_history(history, training)["encoded"][scenario]

    # Nothing is dropped inside its sublayers.
    dropouts = [layer.dropout for layer in model.encoders[scenario]]
    assert_draws_differ(monkeypatch, model, dropouts, encode)


def test_sesrec_prediction(monkeypatch, sesrec):
    model, _ = sesrec
    width = model.prediction.hidden[0].kernel.shape[0]
    x = np.random.default_rng(1).normal(size=(4, 3, width)).astype("float32")
    assert_draws_differ(
        monkeypatch,
        model,
        dropouts_of(model.prediction),
        lambda training: model.logits("rec", {"candidates": x}, training),
    )
