import csv
import json
import math

import keras
import numpy as np
import pytest

from sar_tf.training import callbacks, checkpoint

SCORES = [0.1, 0.3, 0.2, 0.2, 0.2, 0.2, 0.2, 0.4]


def make_model():
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(0.1), loss="mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


class FixedScores(keras.callbacks.Callback):
    """Stands for validation: gives an epoch the score of the list above."""

    def on_epoch_end(self, epoch, logs=None):
        logs["val_rec_NDCG@5"] = SCORES[epoch]
        logs["val_search_NDCG@5"] = SCORES[epoch] + 0.1


def fit(model, folder, epochs, restored=None, stop_patience=10):
    plateau = callbacks.ReduceLROnPlateau(factor=0.1, patience=2, min_lr=1e-3)
    early = callbacks.EarlyStopping(patience=stop_patience)
    initial_epoch = restored["epoch"] if restored else 0
    model.fit(
        np.ones((8, 2)),
        np.ones((8, 1)),
        batch_size=4,
        shuffle=False,
        verbose=0,
        initial_epoch=initial_epoch,
        epochs=epochs,
        callbacks=[
            FixedScores(),
            callbacks.MeanOverTasks(["rec", "search"]),
            plateau,
            early,
            callbacks.HistoryCsv(folder / "history.csv", initial_epoch),
            callbacks.Checkpoints(
                folder, early, {"plateau": plateau, "early_stopping": early}, restored
            ),
        ],
    )


def read_history(folder):
    with open(folder / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    model = make_model()
    fit(model, folder, epochs=8)
    return folder, model.get_weights()


def test_monitor_is_the_mean_over_tasks(undisturbed):
    values = [float(row["val_NDCG@5"]) for row in read_history(undisturbed[0])]
    np.testing.assert_allclose(values, np.array(SCORES) + 0.05)


def test_plateau_lowers_the_rate(undisturbed):
    rates = [float(row["learning_rate"]) for row in read_history(undisturbed[0])]
    # No better score in epochs 3 and 4, then 5 and 6, then the minimum is reached.
    expected = [0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


def test_best_and_last_checkpoint(undisturbed):
    folder, weights = undisturbed
    assert checkpoint.load_state(folder / "best.weights.h5")["epoch"] == 8
    state = checkpoint.load_state(folder / "last.weights.h5")
    assert (state["epoch"], state["step"]) == (8, 16)
    model = make_model()
    checkpoint.load(folder / "last.weights.h5", model)
    for restored, weight in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(restored, weight)


@pytest.mark.parametrize("stop", [1, 4, 5, 7])
def test_resumed_equals_undisturbed(undisturbed, tmp_path, stop):
    """Weights, dropout's draws, learning rate, patience and history are the same."""
    fit(make_model(), tmp_path, epochs=stop)
    model = make_model()
    fit(
        model,
        tmp_path,
        epochs=8,
        restored=checkpoint.load(tmp_path / "last.weights.h5", model),
    )
    for resumed, weight in zip(model.get_weights(), undisturbed[1], strict=True):
        np.testing.assert_array_equal(resumed, weight)
    assert read_history(tmp_path) == read_history(undisturbed[0])
    assert checkpoint.load_state(tmp_path / "best.weights.h5")["epoch"] == 8


@pytest.mark.parametrize("stop", [3, 5])
def test_early_stopping_survives_a_resume(tmp_path, stop):
    fit(make_model(), tmp_path, epochs=stop, stop_patience=4)
    model = make_model()
    restored = checkpoint.load(tmp_path / "last.weights.h5", model)
    fit(model, tmp_path, epochs=8, restored=restored, stop_patience=4)
    assert len(read_history(tmp_path)) == 6  # Four after the best, the second.
    state = checkpoint.load_state(tmp_path / "last.weights.h5")
    assert state["callbacks"]["early_stopping"]["stopped"]
    assert checkpoint.load_state(tmp_path / "best.weights.h5")["epoch"] == 2


def test_history_drops_the_rows_of_epochs_trained_again(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("epoch,loss\n1,0.5\n2,0.4\n3,0.3\n")
    history = callbacks.HistoryCsv(path, initial_epoch=2)
    history.on_epoch_end(2, {"loss": 0.25, "learning_rate": 0.1})
    assert [row["loss"] for row in read_history(tmp_path)] == ["0.5", "0.4", "0.25"]


def test_a_loss_that_is_not_finite_keeps_the_last_checkpoint(tmp_path):
    fit(make_model(), tmp_path, epochs=2)
    model = make_model()
    restored = checkpoint.load(tmp_path / "last.weights.h5", model)
    model.layers[-1].bias.assign([math.nan])
    with pytest.raises(callbacks.TrainingError, match="loss of epoch 3 is nan"):
        fit(model, tmp_path, epochs=8, restored=restored)
    assert checkpoint.load_state(tmp_path / "last.weights.h5")["epoch"] == 2


def test_missing_checkpoint(tmp_path):
    with pytest.raises(checkpoint.CheckpointError, match="no such checkpoint"):
        checkpoint.load(tmp_path / "last.weights.h5", make_model())


def test_damaged_checkpoint(tmp_path):
    path = tmp_path / "last.weights.h5"
    checkpoint.save(path, make_model(), {"epoch": 1})
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(checkpoint.CheckpointError, match="is damaged"):
        checkpoint.load(path, make_model())


def test_checkpoint_of_another_model(tmp_path):
    path = tmp_path / "last.weights.h5"
    checkpoint.save(path, make_model(), {"epoch": 1})
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("adam")
    with pytest.raises(checkpoint.CheckpointError, match="does not fit this model"):
        checkpoint.load(path, model)


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path):
    path = tmp_path / "last.weights.h5"
    model = make_model()
    checkpoint.save(path, model, {"epoch": 1})
    with pytest.raises(TypeError):
        checkpoint.save(path, model, {"epoch": object()})
    assert checkpoint.load_state(path) == {"epoch": 1}
    json.dumps(checkpoint.load(path, make_model()))
