"""Losses that stand alone in training: SASRec's and BERT4Rec's."""

import dataclasses
import functools

import keras
import numpy as np
import pytest
from keras import ops
from support.batches import SPEC, batch, feature_tables, random_histories
from support.layer_weights import numpy, randomize
from support.small_models import OPTIONS
from support.tiny_model import Tiny

from sar_tf.layers import replicas
from sar_tf.models import BERT4Rec, get

# (recommendations, searches) of each history; SPEC holds at most (4, 3).
SIZES = [(4, 3), (2, 1), (0, 3), (1, 2), (4, 0), (0, 0)]
INPUTS = batch(SPEC, random_histories(SPEC, SIZES))
REC = INPUTS["rec"]
LOSSES = {"sasrec": "sequence_loss", "bert4rec": "cloze_loss"}


@functools.cache
def small_model(name, **options):
    options = {**OPTIONS[name], "original_loss": True, **options}
    return randomize(get(name)(SPEC, feature_tables(SPEC), **options))


def loss_of(model, **arrays):
    (loss,) = model.losses_of("rec", {**INPUTS, "rec": {**REC, **arrays}}).values()
    return float(loss)


def padded(items, *shape):
    """Rows of items with empty slots behind them, and empty rows at the end."""
    found = np.zeros(shape, "int32")
    for row, own in zip(found, items, strict=False):
        row[: len(own)] = own
    return found


@pytest.mark.parametrize("name", LOSSES)
def test_training_has_it_alone_and_evaluation_the_click_loss(name):
    model, plain = small_model(name), small_model(name, original_loss=False)
    np.testing.assert_array_equal(
        model.score("rec", INPUTS), plain.score("rec", INPUTS)
    )
    assert model.losses_of("rec", INPUTS).keys() == {LOSSES[name]}
    own = {part: INPUTS[part] for part in ("history", "rec")}
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    logs = model.train_on_batch(own, return_dict=True)
    assert logs.keys() == {"loss", f"rec_{LOSSES[name]}"}
    assert float(logs["loss"]) == pytest.approx(float(logs[f"rec_{LOSSES[name]}"]))
    logs = model.evaluate(own, verbose=0, return_dict=True)
    scores = numpy(model.score("rec", INPUTS))
    expected = -np.log(scores[:, :1]).sum(1) - np.log(1 - scores[:, 1:]).sum(1)
    expected = expected.mean() / scores.shape[1]
    assert logs["click_loss"] == pytest.approx(expected, rel=1e-4)
    assert logs.keys() > {"rec_click_loss", "rec_NDCG@5"}
    assert not {"loss", f"rec_{LOSSES[name]}"} & logs.keys()


class Alone(Tiny):
    """A loss that needs no score."""

    trains_main_loss = False

    def __init__(self, spec, tables=None, **kwargs):
        super().__init__(spec, tables, **kwargs)
        self.scale = keras.layers.Dense(1)
        self.loss_weights["own_loss"] = 2.0

    def logits(self, task, rows, training):
        return super().logits(task, rows, training) * self.scale(rows["vector"])

    def losses(self, task, rows, inputs):
        return {"own_loss": (ops.ones_like(rows["vector"][:, 0]), inputs["is_target"])}


def test_a_model_without_the_main_loss_has_all_weights():
    model = Alone(SPEC, feature_tables(SPEC))
    assert model.scale.built
    outputs = model(INPUTS, training=True)
    assert float(model.compute_loss(y_pred=outputs)) == 2 + 0.5 * 2
    assert set(outputs["rec"]["losses"]) == {"own_loss"}


@pytest.mark.parametrize("name", LOSSES)
def test_it_reads_sequences_alone(name):
    """The targets' candidates and histories have no part in it."""
    options = {"mask_rate": 0.0} if name == "bert4rec" else {}
    model = small_model(name, **options)
    candidates = np.roll(REC["candidates"], 1, axis=0)
    assert loss_of(model, candidates=candidates) == loss_of(model)
    items = np.roll(REC["sequence_items"], 1, axis=1)
    assert loss_of(model, sequence_items=items) != loss_of(model)


SEQUENCES = [[3, 8, 5, 9, 2], [7, 4], [6], []]
NEGATIVES = [[1, 2, 12, 13, 14], [1, 11], [5], []]
ITEMS, DRAWN = padded(SEQUENCES, 6, 5), padded(NEGATIVES, 6, 5)


def test_sasrec_tells_the_next_item_from_a_drawn_one_at_each_position():
    """The newest item is asked for and not read; one item has no position."""
    model, costs = small_model("sasrec"), []
    for items, drawn in zip(SEQUENCES, NEGATIVES, strict=True):
        read = np.array([items[:-1]], "int32")
        if not read.size:
            continue
        o = numpy(model.encode(read, read > 0))[0]
        following, other = (
            numpy(model.encode_items(np.array(x[1:]))) for x in (items, drawn)
        )
        for t in range(len(items) - 1):
            costs.append(np.log1p(np.exp(-o[t] @ following[t])))
            costs[-1] += np.log1p(np.exp(o[t] @ other[t]))
    assert len(costs) == 5
    result = loss_of(model, sequence_items=ITEMS, sequence_negatives=DRAWN)
    assert result == pytest.approx(np.mean(costs), rel=1e-4)


def test_sasrecs_last_position_is_the_vector_that_scores():
    model = small_model("sasrec")
    read = INPUTS["history"]["rec_items"]
    o = numpy(model.encode(read, read > 0))
    vector = numpy(model.encode_history({"rec_items": read}, False)["vector"])
    for row, (length, _) in enumerate(SIZES):
        expected = o[row, length - 1] if length else 0 * vector[row]
        np.testing.assert_allclose(vector[row], expected, rtol=1e-4, atol=1e-5)


def test_sasrecs_positions_do_not_see_what_they_are_asked_for():
    model = small_model("sasrec")
    items = np.array([[3, 8, 5, 9]], "int32")
    before = numpy(model.encode(items, items > 0))
    items[0, 2] = 6
    after = numpy(model.encode(items, items > 0))
    np.testing.assert_allclose(after[0, :2], before[0, :2], atol=1e-6)
    assert not np.allclose(after[0, 2], before[0, 2], atol=1e-4)


@pytest.mark.parametrize("is_static", [False, True])
def test_bert4rec_tells_masked_items_from_all_others(monkeypatch, is_static):
    """With shapes that depend on the batch, and as XLA compiles it."""
    is_masked = ITEMS % 2 == 1
    model = small_model("bert4rec")
    monkeypatch.setattr(BERT4Rec, "has_static_shapes", is_static)
    monkeypatch.setattr(BERT4Rec, "draw_masked", lambda self, items: is_masked)
    every = numpy(model.encode_candidates(np.arange(1, SPEC.num_items + 1)))
    logits = numpy(model.fill_in(ITEMS, is_masked))[is_masked] @ every.T
    own = logits[np.arange(len(logits)), ITEMS[is_masked] - 1]
    expected = np.mean(np.log(np.exp(logits).sum(1)) - own)
    assert len(own) == 4
    assert loss_of(model, sequence_items=ITEMS) == pytest.approx(expected, rel=1e-4)


def test_bert4rec_without_a_sequence_costs_nothing():
    assert loss_of(small_model("bert4rec"), sequence_items=0 * ITEMS) == 0


def test_the_newest_item_alone_is_masked_in_a_share_of_the_sequences():
    items = np.tile(ITEMS[:1], (400, 1))
    model = small_model("bert4rec", mask_rate=0.9, newest_rate=0.3)
    is_masked = numpy(model.draw_masked(items))
    is_alone = is_masked[:, -1] & ~is_masked[:, :-1].any(1)
    assert abs(is_alone.mean() - 0.3) < 0.12


class Two(replicas.Replicas):
    """One of two replicas, which together have a number of positions."""

    number = 2

    def __init__(self, positions):
        self.positions = positions

    def sum(self, x):
        return 0 * x + self.positions


@pytest.mark.parametrize(("name", "positions"), [("sasrec", 5), ("bert4rec", 3)])
def test_the_mean_is_over_the_positions_of_all_replicas(monkeypatch, name, positions):
    model = small_model(name, **({"mask_rate": 0.0} if name == "bert4rec" else {}))
    expected = loss_of(model, sequence_items=ITEMS, sequence_negatives=DRAWN)
    monkeypatch.setattr(replicas, "_active", Two(positions))
    parts = [
        loss_of(model, sequence_items=ITEMS[own], sequence_negatives=DRAWN[own])
        for own in (slice(1), slice(1, None))
    ]
    assert sum(parts) == pytest.approx(expected, rel=1e-5) and min(parts) > 0


def test_what_bert4rec_refuses():
    spec = dataclasses.replace(SPEC, num_items=200_001)
    with pytest.raises(ValueError, match="all 200,001 items"):
        BERT4Rec(spec, item_encoder="id", original_loss=True)
    with pytest.raises(ValueError, match="cloze_weight must not be 0"):
        small_model("bert4rec", cloze_weight=0.0)
