"""What models of recommendation have in common, or pointedly have not."""

import keras
import numpy as np
import pytest
from support.batches import SPEC, batch, feature_tables, random_histories
from support.layer_weights import numpy, randomize

from sar_tf.layers.causal_attention import CausalAttention
from sar_tf.models import DIEN, DIN, BERT4Rec, FMLPRec

SIZES = {"embedding_dim": 4, "hidden_dim": 6}
INPUTS = batch(SPEC, random_histories(SPEC, [(4, 3), (2, 1), (0, 3), (1, 2)]))
ITEMS = INPUTS["history"]["rec_items"]


def small_model(cls, **options):
    return randomize(cls(SPEC, feature_tables(SPEC), **SIZES, **options))


def test_dien_with_constant_gates_is_a_gru():
    """Keras' update gate keeps the old state: its weights are the negative of ours."""
    model = small_model(DIEN)
    states = model.encode_history({"rec_items": ITEMS}, training=False)["states"]
    mask = ITEMS > 0
    gru = keras.layers.GRU(6)
    gru(states)
    signs = np.repeat([-1, 1, 1], 6)
    evolution = model.evolution
    gru.cell.kernel.assign(numpy(evolution.input_dense.kernel) * signs)
    gru.cell.recurrent_kernel.assign(numpy(evolution.cell.recurrent_kernel) * signs)
    bias = numpy(evolution.input_dense.bias) * signs
    gru.cell.bias.assign(np.stack([bias, np.zeros(18)]))
    gates = np.broadcast_to(mask[:, None], (len(ITEMS), 3, 4)).astype("float32")
    result = numpy(evolution(states, gates))
    expected = numpy(gru(states, mask=mask))
    np.testing.assert_allclose(result, expected[:, None].repeat(3, 1), atol=1e-5)


def test_din_and_dien_of_one_item_see_that_item():
    """DIN sees a_1 h_1. DIEN's attention is 1: one step, whatever the candidate."""
    one = {"rec_items": np.array([[5, 0, 0, 0]], "int32")}
    candidates = np.array([[3, 8, 2, 5]], "int32")
    din, dien = small_model(DIN), small_model(DIEN, auxiliary_weight=0.0)
    for model, is_scaled in ((din, True), (dien, False)):
        encoded = model.encode_history(one, training=False)
        v = model.encode_items(candidates)
        g = numpy(model.see(encoded, v, encoded["mask"], False)[0])[0]
        if is_scaled:
            ratios = g / numpy(encoded["items"])[0, 0]
            np.testing.assert_allclose(ratios, ratios[:, :1].repeat(6, 1), rtol=1e-3)
            assert np.ptp(ratios[:, 0]) > 1e-3
        else:
            np.testing.assert_allclose(g, g[:1].repeat(4, 0), rtol=1e-5)


@pytest.mark.parametrize("is_causal", [False, True])
def test_bert4rec_with_a_causal_mask_does_not_see_the_future(is_causal):
    model = small_model(BERT4Rec, inner_units=8, dropout=0.0)
    if is_causal:
        for block in model.blocks:
            attention = CausalAttention(2)
            attention.build((None, 4, 6), (None, 4, 6))
            # Keras' own __setattr__ refuses a new layer of a built one.
            object.__setattr__(block, "attention", randomize(attention))
    items, nothing = ITEMS[:1].copy(), np.zeros((1, 4), bool)
    before = numpy(model.fill_in(items, nothing))
    items[0, 2] = items[0, 2] % SPEC.num_items + 1
    after = numpy(model.fill_in(items, nothing))
    assert np.allclose(after[0, :2], before[0, :2], atol=1e-5) == is_causal
    assert not np.allclose(after[0, 2], before[0, 2], atol=1e-5)


def test_fmlp_rec_with_filters_of_ones_does_not_mix_slots():
    model = small_model(FMLPRec, inner_units=8, dropout=0.0)
    before = numpy(model.encode_history({"rec_items": ITEMS}, False)["vector"])
    changed = ITEMS.copy()
    changed[0, :3] = changed[0, :3] % SPEC.num_items + 1
    mixed = numpy(model.encode_history({"rec_items": changed}, False)["vector"])
    assert not np.allclose(mixed[0], before[0], atol=1e-4)
    for block in model.blocks:
        block.filter.real.assign(np.ones((3, 6)))
        block.filter.imaginary.assign(np.zeros((3, 6)))
    one, other = (
        numpy(model.encode_history({"rec_items": x}, False)["vector"])
        for x in (ITEMS, changed)
    )
    np.testing.assert_allclose(other[0], one[0], atol=1e-5)
