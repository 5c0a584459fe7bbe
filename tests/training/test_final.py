"""Training on the targets of all splits."""

import collections
import dataclasses
import json

import keras
import numpy as np
import pytest
from support.rows import read_epoch

import sar_tf
from sar_tf.data.schema import SPLITS
from sar_tf.training.checkpoint import CheckpointError
from sar_tf.training.final import read_learning_rates
from sar_tf.training.run_directory import RunDirectoryError
from sar_tf.training.transfer import weights_by_place

PLACE = "item_encoder/id_embedding/embeddings"


@pytest.fixture(scope="module")
def config(simulated_dataset):
    return sar_tf.RunConfig(
        model="qem",
        dataset_dir=str(simulated_dataset),
        batch_size=256,
        evaluation_batch_size=64,
        history_groups=1,
        epochs=3,
        learning_rate=0.02,
        plateau_patience=1,
        early_stopping_patience=1,
        hyperparameters={"hidden_dim": 8, "embedding_dim": 4},
    )


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    """A run that got its second training later, and the metrics of both calls."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    first = sar_tf.run(config, folder, verbose="none")
    config = dataclasses.replace(config, train_on="all")
    second = sar_tf.run(config, folder, resume=True, verbose="none")
    return folder, first, second


def test_an_epoch_has_the_targets_of_all_splits(simulated_dataset):
    data = sar_tf.open_dataset(simulated_dataset, batch_size=512, needs=("user",))
    everything = dataclasses.replace(data, train_on="all")
    numbers = data.dataset.info.targets
    found = {name: collections.Counter() for name in ("all", *SPLITS)}
    for batch in read_epoch(everything):
        for task, rows in batch.items():
            pairs = zip(rows["user"], rows["candidates"][:, 0], strict=True)
            found["all"].update((task, *pair) for pair in pairs)
    for split in SPLITS:
        batches = read_epoch(data) if split == "train" else data.evaluate(split)
        for batch in batches:
            for task, rows in batch.items():
                pairs = zip(
                    np.array(rows["user"]),
                    np.array(rows["candidates"])[:, 0],
                    strict=True,
                )
                found[split].update((task, *pair) for pair in pairs)
    assert found["all"] == found["train"] + found["validation"] + found["test"]
    assert found["all"].total() == sum(sum(x.values()) for x in numbers.values())


def test_it_trains_as_long_as_validation_chose(finished):
    folder, first, second = finished
    assert first == second == json.loads((folder / "metrics.json").read_text())
    text = (folder / "all" / "history.csv").read_text()
    assert len(text.splitlines()) == 1 + first["epoch"] and "val" not in text
    rates, own = (
        read_learning_rates(path / "history.csv", first["epoch"])
        for path in (folder / "all", folder)
    )
    assert rates == own


def test_rates_that_are_lost(finished, tmp_path):
    folder, *_ = finished
    for text in ("", "epoch,learning_rate\n1,\n", "epoch\n1\n"):
        (tmp_path / "history.csv").write_text(text)
        with pytest.raises(RunDirectoryError, match="which train_on=all repeats"):
            read_learning_rates(tmp_path / "history.csv", 1)
    with pytest.raises(RunDirectoryError, match="of 4 epochs"):
        read_learning_rates(folder / "history.csv", 4)


def test_the_served_model_is_the_second_one(finished):
    folder, *_ = finished
    best, _ = sar_tf.load_run(folder)
    served, _ = sar_tf.load_run(folder, served=True)
    tables = [weights_by_place(model)[PLACE].numpy() for model in (best, served)]
    assert np.abs(tables[0] - tables[1]).max() > 1e-3


class Start(keras.callbacks.Callback):
    """Keeps a weight at the start of training, and breaks off."""

    def on_train_begin(self, logs=None):
        self.weight = weights_by_place(self.model)[PLACE].numpy()
        raise InterruptedError


def test_a_run_that_is_started_from_it_does_not_know_the_targets_of_test(
    finished, config, tmp_path
):
    folder, *_ = finished
    again = dataclasses.replace(config, init_from=str(folder))
    start = Start()
    with pytest.raises(InterruptedError):
        sar_tf.run(again, tmp_path / "run", [start], verbose="none")
    best, _ = sar_tf.load_run(folder)
    expected = weights_by_place(best)[PLACE].numpy()
    np.testing.assert_array_equal(start.weight, expected)


def test_it_must_be_finished(finished, config, tmp_path):
    folder, *_ = finished
    best = folder / "all" / "checkpoints" / "best.weights.h5"
    best.rename(best.with_name("moved"))
    with pytest.raises(CheckpointError, match=r"all/checkpoints/best\.weights\.h5"):
        sar_tf.load_run(folder, served=True)
    best.with_name("moved").rename(best)
