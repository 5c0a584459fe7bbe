import os
import resource
import shutil
import types

import keras
import numpy as np
import pytest

from sar_tf.files import WriteError
from sar_tf.training import checkpoint

FRACTION = 0.123  # So that a bias' bytes are nowhere else in the file.


def make_model(units=1):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dropout(0.5), keras.layers.Dense(units)]
    )
    model.compile("adam")
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.fixture
def paths(tmp_path):
    """last.weights.h5 of epoch 2, previous.weights.h5 of epoch 1."""
    last, previous = (tmp_path / f"{n}.weights.h5" for n in ("last", "previous"))
    model = make_model()
    for epoch in (1, 2):
        model.layers[-1].bias.assign([epoch + FRACTION])
        checkpoint.save(last, model, {"epoch": epoch}, previous)
    return last, previous


def flip_bit(path, value):
    """Flips the lowest bit of a number that a file holds somewhere."""
    content = bytearray(path.read_bytes())
    content[content.index(np.float32(value).tobytes())] ^= 1
    path.write_bytes(content)


def test_the_last_one_is_restored(paths):
    model = make_model()
    assert checkpoint.load_last(*paths, model) == {"epoch": 2}
    assert model.layers[-1].bias[0] == np.float32(2 + FRACTION)
    assert checkpoint.load_state(paths[1]) == {"epoch": 1}


def test_no_checkpoint(tmp_path):
    last, previous = tmp_path / "last.weights.h5", tmp_path / "previous.weights.h5"
    assert checkpoint.load_last(last, previous, make_model()) is None
    with pytest.raises(checkpoint.CheckpointError, match="is missing"):
        checkpoint.load(last, make_model())


def test_killed_between_the_renamings(paths, caplog):
    last, previous = paths
    last.unlink()
    assert checkpoint.load_last(last, previous, make_model()) == {"epoch": 1}
    assert last.exists() and not previous.exists()
    assert not caplog.records


@pytest.mark.parametrize("damage", ["a flipped bit", "cut off", "emptied"])
def test_a_damaged_one_is_named_and_skipped(paths, caplog, damage):
    last, previous = paths
    if damage == "a flipped bit":
        flip_bit(last, 2 + FRACTION)
    else:
        os.truncate(last, 1000 if damage == "cut off" else 0)
    model = make_model()
    assert checkpoint.load_last(last, previous, model) == {"epoch": 1}
    assert model.layers[-1].bias[0] == np.float32(1 + FRACTION)
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith(f"{last} is damaged (")
    assert message.endswith(f"); continuing from {previous}, the one before it")

    # The damaged one must not become the one before the next.
    checkpoint.save(last, model, {"epoch": 3}, previous)
    assert checkpoint.load(previous, make_model()) == {"epoch": 1}


def test_a_changed_state_is_damage(paths):
    last, _ = paths
    last.write_bytes(last.read_bytes().replace(b'"epoch": 2', b'"epoch": 3'))
    with pytest.raises(checkpoint.DamagedError, match="its checksum is not"):
        checkpoint.load(last, make_model())


def test_both_damaged(paths):
    last, previous = paths
    flip_bit(last, 2 + FRACTION)
    os.truncate(previous, 1000)
    with pytest.raises(checkpoint.CheckpointError) as raised:
        checkpoint.load_last(last, previous, make_model())
    message = str(raised.value)
    assert f"{last} is damaged (its checksum is not " in message
    assert f" and {previous} is damaged (" in message and "\n" not in message
    assert last.exists() and previous.exists()


def test_one_of_another_model_is_not_skipped(paths):
    with pytest.raises(checkpoint.CheckpointError, match="does not fit this model"):
        checkpoint.load_last(*paths, make_model(units=3))
    assert all(path.exists() for path in paths)


def test_a_failed_write_leaves_the_old_checkpoints(paths):
    last, previous = paths
    with pytest.raises(TypeError):
        checkpoint.save(last, make_model(), {"epoch": object()}, previous)
    assert checkpoint.load(last, make_model()) == {"epoch": 2}
    assert checkpoint.load(previous, make_model()) == {"epoch": 1}


def test_no_room_for_the_file(paths, capfd):
    last, previous = paths
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Reports go through files too, if not of this size.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        with pytest.raises(WriteError) as raised:
            checkpoint.save(last, make_model(units=10_000), {"epoch": 3}, previous)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    message = str(raised.value)
    assert message.startswith(f"{last} cannot be written: File too large; ")
    assert "\n" not in message
    assert capfd.readouterr().err == ""
    assert sorted(path.name for path in last.parent.iterdir()) == [
        "last.weights.h5",
        "previous.weights.h5",
    ]
    assert checkpoint.load_last(last, previous, make_model()) == {"epoch": 2}


def test_the_folder_is_gone(paths):
    last, previous = paths
    shutil.rmtree(last.parent)
    with pytest.raises(WriteError, match="cannot be written: No such file or dir"):
        checkpoint.save(last, make_model(), {"epoch": 3}, previous)


@pytest.mark.parametrize("units", [1, 20_000])
def test_room_reserved_is_enough_and_not_much_more(tmp_path, units):
    path = tmp_path / "last.weights.h5"
    model = make_model(units)
    checkpoint.save(path, model, {"epoch": 1})
    reserved = checkpoint._num_bytes(model)
    assert path.stat().st_size <= reserved <= 1.1 * path.stat().st_size + 2**18


def test_a_checkpoint_of_another_dataset_is_refused(tmp_path):
    path, model = tmp_path / "best.weights.h5", make_model()
    model.spec = types.SimpleNamespace(fingerprint="one")
    checkpoint.save(path, model, {"epoch": 1})
    assert checkpoint.load(path, model) == {"epoch": 1}
    model.spec = types.SimpleNamespace(fingerprint="")  # its dataset is unknown
    assert checkpoint.load(path, model) == {"epoch": 1}
    model.spec = types.SimpleNamespace(fingerprint="other")
    with pytest.raises(checkpoint.CheckpointError, match="trained on another dataset"):
        checkpoint.load(path, model)
