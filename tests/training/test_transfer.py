import dataclasses

import numpy as np
import pytest
from tiny import SPEC, Tiny, make_model

from sar_tf.training import checkpoint
from sar_tf.training.compile import compile_model
from sar_tf.training.transfer import take_weights


@pytest.fixture
def saved(tmp_path):
    model = make_model()
    model.dense.kernel.assign(np.full_like(model.dense.kernel, 0.5))
    model.optimizer.iterations.assign(7)
    path = tmp_path / "best.weights.h5"
    checkpoint.save(path, model, {"epoch": 1})
    return path


def test_weights_are_taken_and_nothing_else(saved):
    model = make_model()
    random_states = [v.numpy() for v in model.non_trainable_variables]
    transfer = take_weights(model, saved)
    assert transfer.taken == ("dense/vars/0", "dense/vars/1")
    assert not transfer.new and not transfer.left
    assert np.all(model.dense.kernel.numpy() == 0.5)
    assert model.optimizer.iterations.numpy() == 0
    for variable, before in zip(
        model.non_trainable_variables, random_states, strict=True
    ):
        np.testing.assert_array_equal(variable.numpy(), before)


def test_weights_of_another_shape_are_new(saved):
    model = Tiny(dataclasses.replace(SPEC, num_items=9))
    compile_model(model, 0.1, l2=0.0)
    transfer = take_weights(model, saved)
    assert transfer.taken == ("dense/vars/1",)
    assert transfer.new == transfer.left == ("dense/vars/0",)
    assert str(transfer).splitlines() == [
        "taken 1: dense (1)",
        "new 1: dense (1)",
        "left 1: dense (1)",
    ]


def test_nothing_to_take(tmp_path):
    import keras

    other = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="head")])
    other.compile("adam")
    other.optimizer.build(other.trainable_variables)
    path = tmp_path / "best.weights.h5"
    checkpoint.save(path, other, {"epoch": 1})
    with pytest.raises(checkpoint.CheckpointError, match="no weight of"):
        take_weights(make_model(), path)


def test_no_such_run(tmp_path):
    with pytest.raises(checkpoint.CheckpointError, match="no such checkpoint"):
        take_weights(make_model(), tmp_path / "best.weights.h5")
