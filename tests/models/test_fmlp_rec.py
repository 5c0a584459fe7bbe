import dataclasses

import keras
import numpy as np
import pytest
from support.batches import SPEC, batch, feature_tables, random_histories
from support.layer_weights import numpy, randomize

from sar_tf.models import FMLPRec, get

OPTIONS = {"embedding_dim": 4, "hidden_dim": 6, "inner_units": 8, "dropout": 0.0}
# (recommendations, searches) of each history; SPEC holds at most (4, 3).
SIZES = [(4, 3), (2, 1), (0, 3), (1, 2), (4, 0), (0, 0)]
INPUTS = batch(SPEC, random_histories(SPEC, SIZES))
ITEMS = INPUTS["history"]["rec_items"]


def small_model(spec=SPEC, **options):
    return randomize(FMLPRec(spec, feature_tables(spec), **{**OPTIONS, **options}))


@pytest.fixture(scope="module")
def model():
    return small_model()


def encoded_of(model, items):
    return numpy(model.encode_history({"rec_items": items}, training=False)["vector"])


def left_padded():
    items = np.zeros_like(ITEMS)
    for row, (length, _) in enumerate(SIZES):
        items[row, items.shape[1] - length :] = ITEMS[row, :length]
    return items


def test_registered_for_recommendation_only():
    assert get("fmlp_rec") is FMLPRec
    assert (FMLPRec.tasks, FMLPRec.needs) == (("rec",), ("rec_items",))


def test_the_vector_is_what_the_authors_compute(model):
    """Rows with the newest item last, and positions in empty slots; no mask."""
    x = numpy(model.encode_items(left_padded())) + numpy(model.positions.embeddings)
    x = numpy(model.norm(x))
    for block in model.blocks:
        weights = numpy(block.filter.real) + 1j * numpy(block.filter.imaginary)
        spectrum = weights * np.fft.rfft(x, axis=1, norm="ortho")
        filtered = np.fft.irfft(spectrum, 4, axis=1, norm="ortho").astype("float32")
        x = numpy(block.mix_norm(x + filtered))
        hidden = keras.activations.gelu(block.feed_forward_in(x), approximate=False)
        x = numpy(block.feed_forward_norm(x + block.feed_forward_out(hidden)))
    np.testing.assert_allclose(encoded_of(model, ITEMS), x[:, -1], atol=1e-4)


def test_padding_may_stand_on_either_side(model):
    np.testing.assert_allclose(
        encoded_of(model, left_padded()), encoded_of(model, ITEMS), atol=1e-6
    )


def test_order_matters(model):
    before = encoded_of(model, ITEMS[:1])
    for order in ([1, 0, 2, 3], [0, 1, 3, 2]):
        assert not np.allclose(encoded_of(model, ITEMS[:1, order]), before, atol=1e-3)


def test_the_number_of_slots_is_part_of_the_model(model, tmp_path):
    with pytest.raises(ValueError, match="made for histories of 4 slots and cannot re"):
        encoded_of(model, np.pad(ITEMS, ((0, 0), (0, 1))))
    other = small_model(dataclasses.replace(SPEC, max_rec_history=6))
    model.save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ValueError, match="could not be loaded"):
        other.load_weights(tmp_path / "model.weights.h5")
    model.save(tmp_path / "model.keras")
    copy = keras.models.load_model(tmp_path / "model.keras")
    assert copy.spec.max_rec_history == 4
    np.testing.assert_array_equal(encoded_of(copy, ITEMS), encoded_of(model, ITEMS))


def test_the_authors_loss_has_one_negative():
    model = small_model(original_loss=True)
    logits = np.array([[0.5, -1.0, 3.0], [2.0, 0.25, -3.0]], "float32")

    def softplus(x):
        return np.log1p(np.exp(x))

    expected = softplus(-logits[:, 0]) + softplus(logits[:, 1])
    np.testing.assert_allclose(numpy(model.main_loss(logits)), expected, rtol=1e-5)
    mean = small_model().main_loss(logits)
    expected = (softplus(-logits[:, 0]) + softplus(logits[:, 1:]).sum(1)) / 3
    np.testing.assert_allclose(numpy(mean), expected, rtol=1e-5)
