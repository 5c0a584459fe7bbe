"""Training in two stages: on both tasks, then a copy of the model on each."""

import csv
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import sar_tf
from sar_tf.models.task_copies import TaskCopies
from sar_tf.training.copies import begin_copies, copied_tasks
from sar_tf.training.finished import load_stage
from sar_tf.training.full import evaluate_full
from sar_tf.training.run_directory import RunDirectory
from sar_tf.training.transfer import weights_by_place

TASKS = ("rec", "search")


def make_config(dataset_dir, **hyperparameters):
    return sar_tf.RunConfig(
        model="support.tiny_model:TinyFineTuned",
        dataset_dir=str(dataset_dir),
        batch_size=512,
        history_groups=1,
        max_rec_history=5,
        epochs=2,
        learning_rate=0.01,
        hyperparameters=hyperparameters,
    )


@pytest.fixture(scope="module")
def config(simulated_dataset):
    return make_config(simulated_dataset)


class Starts(keras.callbacks.Callback):
    """The weights at the start of each training; breaks off as often as it is told.

    Args:
        breaks: (model's tasks, epoch) at whose first step a training breaks off once.
    """

    def __init__(self, breaks=()):
        super().__init__()
        self.found, self.breaks = [], list(breaks)

    def on_train_begin(self, logs=None):
        weights = {
            place: weight.numpy()
            for place, weight in weights_by_place(self.model).items()
        }
        self.found.append((self.model.tasks, weights))

    def on_epoch_begin(self, epoch, logs=None):
        self.now = self.model.tasks, epoch

    def on_train_batch_end(self, batch, logs=None):
        if batch == 0 and self.now in self.breaks:
            self.breaks.remove(self.now)
            raise InterruptedError


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    starts = Starts()
    metrics = sar_tf.run(config, folder, [starts], verbose="none")
    return folder, metrics, starts.found


@pytest.fixture(scope="module")
def loaded(finished):
    return sar_tf.load_run(finished[0])


def test_which_runs_have_two_stages(config, simulated_dataset):
    assert copied_tasks(config.check()) == TASKS
    for options in ({"tasks": ("rec",)}, {"fine_tuning_rate": 0.0}):
        assert copied_tasks(make_config(simulated_dataset, **options).check()) == ()
    assert copied_tasks(sar_tf.RunConfig(dataset_dir="data").check()) == ()


def test_each_copy_starts_from_the_best_epoch_of_both_tasks(finished):
    folder, _, starts = finished
    assert [tasks for tasks, _ in starts] == [TASKS, ("rec",), ("search",)]
    best, _ = load_stage(RunDirectory(folder))
    expected = weights_by_place(best)
    for _, weights in starts[1:]:
        for place, weight in weights.items():
            np.testing.assert_array_equal(weight, expected[place].numpy())
    for task in TASKS:
        with open(folder / "copies" / task / "history.csv", newline="") as file:
            first = next(csv.DictReader(file))
        assert float(first["learning_rate"]) == pytest.approx(0.001)
        other = next(name for name in TASKS if name != task)
        assert f"val_{task}_NDCG@5" in first and f"val_{other}_NDCG@5" not in first


def test_metrics_are_those_of_the_copies(finished):
    folder, metrics, _ = finished
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    for split in ("validation", "test"):
        with np.load(folder / "ranks" / f"{split}.npz") as ranks:
            joined = dict(ranks)
        for task in TASKS:
            copy = folder / "copies" / task
            own = json.loads((copy / "metrics.json").read_text())
            assert metrics[split][task] == own[split][task]
            assert metrics["copy_epochs"][task] == own["epoch"]
            with np.load(copy / "ranks" / f"{split}.npz") as ranks:
                is_own = joined["task"] == task
                np.testing.assert_array_equal(joined["rank"][is_own], ranks["rank"])
    assert set(metrics["baselines"]["random"]) == set(TASKS)


def test_evaluate_again(finished):
    folder, metrics, _ = finished
    (folder / "metrics.json").unlink()
    assert sar_tf.evaluate_run(folder) == metrics
    assert json.loads((folder / "metrics.json").read_text()) == metrics


def test_a_loaded_run_scores_each_task_by_its_copy(finished, loaded, tmp_path):
    _, metrics, _ = finished
    model, data = loaded
    assert isinstance(model, TaskCopies) and set(data.tasks) == set(TASKS)
    found = model.evaluate(data.test(), return_dict=True, verbose=0)
    for task in TASKS:
        assert found[f"{task}_MRR"] == pytest.approx(
            metrics["test"][task]["MRR"], abs=1e-6
        )
    rec, search = ({id(v) for v in model.for_task(task).variables} for task in TASKS)
    assert rec and search and not rec & search
    batch = next(iter(data.test()))
    model.save(tmp_path / "model.keras")
    copy = keras.models.load_model(tmp_path / "model.keras")
    for task in TASKS:
        np.testing.assert_allclose(copy.score(task, batch), model.score(task, batch))


def test_each_copy_ranks_its_targets_among_all_items(finished):
    folder, *_ = finished
    metrics = evaluate_full(folder, sample=5)
    assert json.loads((folder / "full" / "metrics.json").read_text()) == metrics
    with np.load(folder / "full" / "ranks" / "test.npz") as ranks:
        assert ranks["task"].tolist() == ["rec"] * 5 + ["search"] * 5
    for task in TASKS:
        own = folder / "copies" / task / "full" / "metrics.json"
        assert metrics[task] == json.loads(own.read_text())[task]


def test_one_saved_model_holds_both(loaded, tmp_path):
    model, data = loaded
    sar_tf.export(model, tmp_path / "1", data)
    signatures = tf.saved_model.load(tmp_path / "1").signatures
    assert {"rank_rec", "rank_search", "retrieve_rec"} < set(signatures)
    batch = next(iter(data.test()))
    for task in TASKS:
        function = signatures[f"rank_{task}_dense"]
        names = function.structured_input_signature[1]
        histories = batch[task]["history_row"]
        inputs = {
            name: batch[task][name]
            if name in batch[task]
            else tf.gather(batch["history"][name], histories)
            for name in names
        }
        np.testing.assert_allclose(
            function(**inputs)["scores"], model.score(task, batch), atol=1e-6
        )


def test_a_run_that_breaks_off_in_its_copies(finished, config, tmp_path):
    """Inside the second epoch of the first copy, and before the other's first file."""
    _, metrics, _ = finished
    for place in ((("rec",), 1), (("search",), 0)):
        with pytest.raises(InterruptedError):
            sar_tf.run(
                config,
                tmp_path / "run",
                [Starts([place])],
                resume=(tmp_path / "run").exists(),
                verbose="none",
            )
    assert not list((tmp_path / "run" / "copies" / "search" / "checkpoints").iterdir())
    found = sar_tf.run(config, tmp_path / "run", resume=True, verbose="none")
    assert found == metrics


def test_copies_of_another_first_stage_are_removed(tmp_path):
    folder = RunDirectory(tmp_path)
    folder.checkpoints.mkdir()
    folder.best.write_bytes(b"one")
    begin_copies(folder)
    (folder.copies / "rec").mkdir()
    begin_copies(folder)
    assert (folder.copies / "rec").is_dir()
    folder.best.write_bytes(b"two")
    begin_copies(folder)
    assert not (folder.copies / "rec").exists()
