"""A run as a function: no flags, no folder but its own."""

import csv
import dataclasses
import json
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from support.builders import make_record, rec, write_dataset

import sar_tf
from sar_tf.data.dataset_info import DatasetError
from sar_tf.metrics.ranks import metrics_by_task
from sar_tf.training.config import ConfigError
from sar_tf.training.finished import check_folder, opened_config
from sar_tf.training.run_directory import RunDirectory, RunDirectoryError


@pytest.fixture(scope="module")
def config(simulated_dataset):
    return sar_tf.RunConfig(
        model="sesrec",
        dataset_dir=str(simulated_dataset),
        batch_size=512,
        evaluation_batch_size=64,
        history_groups=1,
        max_rec_history=5,
        max_search_history=4,
        epochs=2,
        schedule="cosine",
        warmup_steps=3,
        learning_rate=0.01,
        precision="bfloat16",
        hyperparameters={"ablation": "base", "prediction_units": (8,)},
    )


class Losses(keras.callbacks.Callback):
    """A caller's callback: the loss of each epoch."""

    def on_train_begin(self, logs=None):
        self.losses = []

    def on_epoch_end(self, epoch, logs=None):
        self.losses.append(logs["loss"])


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    """A run's folder, what it returned and its caller's callback."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    losses = Losses()
    metrics = sar_tf.run(config, folder, [losses], verbose="none")
    return folder, metrics, losses


def test_what_a_run_returns_and_writes(finished):
    folder, metrics, losses = finished
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert len(losses.losses) == 2
    assert set(metrics["test"]) == set(metrics["baselines"]["random"]) == {"rec"}
    assert not (folder / "flags.txt").exists()
    for split in ("validation", "test"):
        with np.load(folder / "ranks" / f"{split}.npz") as ranks:
            assert metrics_by_task(ranks) == metrics[split]


def test_ranks_are_of_every_target_in_the_records_order(finished):
    _, data = sar_tf.load_run(finished[0])
    data = sar_tf.open_dataset(data.dataset.dataset_dir, needs=("user",))
    users = np.concatenate([batch["rec"]["user"] for batch in data.test()])
    with np.load(finished[0] / "ranks" / "test.npz") as ranks:
        np.testing.assert_array_equal(ranks["user"], users)


def test_the_schedule_is_the_runs(finished):
    with open(finished[0] / "history.csv", newline="") as file:
        rates = [float(row["learning_rate"]) for row in csv.DictReader(file)]
    assert rates[1] == pytest.approx(1e-6, rel=1e-3) and rates[0] > 0.003


def test_the_precision_of_the_process_is_as_before(finished):
    assert keras.config.dtype_policy().name == "float32"


def test_a_loaded_run_scores_as_the_run_did(finished):
    folder, metrics, _ = finished
    model, data = sar_tf.load_run(folder)
    assert {layer.compute_dtype for layer in model.layers} == {"bfloat16"}
    found = model.evaluate(data.test(), return_dict=True, verbose=0)
    for name, value in metrics["test"]["rec"].items():
        assert found[f"rec_{name}"] == pytest.approx(value, abs=1e-6), name


def test_a_run_opens_in_another_process(finished, repository):
    code = (
        "import sys, sar_tf, tensorflow as tf\n"
        # As in this process: bfloat16 rounds otherwise in graphs that are optimized.
        "options = {'disable_meta_optimizer': True}\n"
        "tf.config.optimizer.set_experimental_options(options)\n"
        "model, data = sar_tf.load_run(sys.argv[1])\n"
        "print(model.evaluate(data.test(), return_dict=True, verbose=0)['rec_MRR'])\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, finished[0]],
        capture_output=True,
        text=True,
        check=False,
        cwd=repository,
    )
    assert process.returncode == 0, process.stderr
    expected = finished[1]["test"]["rec"]["MRR"]
    assert float(process.stdout) == pytest.approx(expected, abs=1e-6)


def test_evaluate_again(finished):
    folder, metrics, _ = finished
    (folder / "metrics.json").unlink()
    assert sar_tf.evaluate_run(folder, history_groups=1) == metrics
    assert json.loads((folder / "metrics.json").read_text()) == metrics


def test_another_dataset_has_metrics_of_its_own(finished, config, tmp_path):
    folder, metrics, _ = finished
    before = (folder / "metrics.json").read_bytes()
    copy = tmp_path / "copy"
    shutil.copytree(config.dataset_dir, copy)
    found = sar_tf.evaluate_run(folder, dataset_dir=str(copy))
    assert found == metrics
    assert json.loads((folder / "metrics.copy.json").read_text()) == found
    assert {path.name for path in (folder / "ranks.copy").iterdir()} == {
        "test.npz",
        "validation.npz",
    }
    assert (folder / "metrics.json").read_bytes() == before


def test_missing_targets_are_noticed_before_training(config, tmp_path):
    behaviors = [rec(time, 1) for time in (1, 2, 3)]
    targets = [(1, "train", 1), (2, "validation", 1)]
    (tmp_path / "data").mkdir()
    records = [make_record(user, behaviors, targets) for user in (1, 2)]
    write_dataset(tmp_path / "data", records, 100, [[1, 2]])
    untested = dataclasses.replace(
        config,
        dataset_dir=str(tmp_path / "data"),
        schedule="plateau",
        warmup_steps=0,
    )
    losses = Losses()
    with pytest.raises(DatasetError, match="data has no test targets for the tasks re"):
        sar_tf.run(untested, tmp_path / "run", [losses])
    assert not hasattr(losses, "losses")
    RunDirectory(tmp_path / "run").require_free()


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 9},
        {"max_rec_history": 4},
        {"hyperparameters": {"ablation": "full", "prediction_units": (8,)}},
    ],
)
def test_another_model_than_the_runs_is_not_evaluated(finished, changes):
    name = "ablation" if "hyperparameters" in changes else next(iter(changes))
    for function in (sar_tf.evaluate_run, sar_tf.load_run):
        with pytest.raises(ConfigError, match=f"^{name} is not what the run was"):
            function(finished[0], **changes)


def test_a_run_starts_from_another(finished, config, tmp_path, capsys):
    again = dataclasses.replace(
        config,
        init_from=str(finished[0]),
        epochs=1,
        strategy="mirrored",
        hyperparameters={"ablation": "base", "prediction_units": (6,)},
    )
    losses = Losses()
    sar_tf.run(again, tmp_path / "run", [losses])
    assert losses.losses[0] < finished[2].losses[0]
    text = capsys.readouterr().out
    assert "strategy=mirrored: 1 replica: TensorFlow finds one device" in text
    assert "item_encoder (" in text and "prediction (" in text


def test_folders_that_are_refused(finished, config, tmp_path):
    with pytest.raises(RunDirectoryError, match="already holds a run"):
        sar_tf.run(config, finished[0])
    with pytest.raises(RunDirectoryError, match="holds no run"):
        sar_tf.run(config, tmp_path / "new", resume=True)
    assert not list(tmp_path.iterdir())


def test_resuming_with_another_setting(finished, config):
    for changed in ({"seed": 9}, {"epochs": 3}):
        # A schedule spans all epochs, so they may not change either.
        (name,) = changed
        with pytest.raises(ConfigError, match=f"{name} is not what the run was"):
            sar_tf.run(dataclasses.replace(config, **changed), finished[0], resume=True)


def test_a_run_from_before_a_hyperparameter_has_its_default(config, tmp_path):
    folder, checked = RunDirectory(tmp_path), config.check()
    values = dict(checked.hyperparameters)
    dropout = values.pop("dropout")
    folder.start(dataclasses.replace(checked, hyperparameters=values))
    check_folder(checked, folder, resume=True)
    assert opened_config(folder, {}).hyperparameters["dropout"] == dropout
    other = {**values, "dropout": dropout / 2 + 0.1}
    changed = dataclasses.replace(checked, hyperparameters=other)
    with pytest.raises(ConfigError, match="dropout is not what the run was"):
        check_folder(changed, folder, resume=True)


def test_the_public_names_are_there():
    for name in sar_tf.__all__:
        assert getattr(sar_tf, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        sar_tf.nothing  # noqa: B018


def test_importing_the_package_is_quick():
    code = "import sys, sar_tf; print('tensorflow' in sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "False"
