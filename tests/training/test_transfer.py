import dataclasses

import keras
import numpy as np
import pytest
from tiny import SPEC, Tiny, make_model

from sar_tf.training.transfer import take_weights, weights_by_place


@pytest.fixture
def other():
    model = make_model()
    model.dense.kernel.assign(np.full(model.dense.kernel.shape, 0.5))
    return model


def test_weights_are_taken_and_nothing_else(other):
    model = make_model()
    fixed = [variable.numpy() for variable in model.non_trainable_variables]
    transfer = take_weights(model, other)
    assert transfer.taken == ("dense/kernel", "dense/bias")
    assert not transfer.new and not transfer.left
    assert np.all(model.dense.kernel.numpy() == 0.5)
    for variable, before in zip(model.non_trainable_variables, fixed, strict=True):
        np.testing.assert_array_equal(variable.numpy(), before)


def test_weights_of_another_shape_are_new(other):
    transfer = take_weights(Tiny(dataclasses.replace(SPEC, num_items=9)), other)
    assert transfer.taken == ("dense/bias",)
    assert transfer.new == transfer.left == ("dense/kernel",)
    assert str(transfer).splitlines() == [
        "taken 1: dense (1)",
        "new 1: dense (1)",
        "left 1: dense (1)",
    ]


class Deep(keras.layers.Layer):
    """Layers in a list and in a dict, and a weight of its own."""

    def __init__(self):
        super().__init__()
        self.towers = [keras.layers.Dense(2), keras.layers.Dense(3)]
        self.heads = {"rec": keras.layers.Dense(4)}

    def build(self, shape):
        self.scale = self.add_weight(name="scale")
        for layer in (*self.towers, *self.heads.values()):
            layer.build(shape)


def test_places_are_attributes():
    layer = Deep()
    layer.build((None, 5))
    found = {place: v.shape for place, v in weights_by_place(layer).items()}
    assert found == {
        "heads/rec/kernel": (5, 4),
        "heads/rec/bias": (4,),
        "towers/0/kernel": (5, 2),
        "towers/0/bias": (2,),
        "towers/1/kernel": (5, 3),
        "towers/1/bias": (3,),
        "scale": (),
    }


def test_nothing_to_take():
    layer = Deep()
    layer.build((None, 5))
    with pytest.raises(ValueError, match="no weight of a Deep has the place and"):
        take_weights(make_model(), layer)
