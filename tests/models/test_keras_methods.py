"""fit, evaluate, predict and callbacks of plain Keras, on a dataset."""

import dataclasses

import keras
import numpy as np
import pytest
from support.batches import SPEC, batch, feature_tables, random_histories
from support.builders import random_records, write_dataset
from support.layer_weights import numpy
from support.tiny_model import Given, Tiny, tiny
from support.unisar_case import OPTIONS, SIZES

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.data.schema import SPLITS, TASKS
from sar_tf.models import UniSAR

RANKING = {f"{task}_{name}" for task in TASKS for name in ("HR@1", "NDCG@5", "MRR")}


@pytest.fixture(scope="module")
def records():
    return random_records(num_users=40, max_behaviors=16)


@pytest.fixture(scope="module")
def data(records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    write_dataset(folder, *records, num_shards=3)
    return BatchPipeline(
        SequenceDataset.open(folder),
        batch_size=32,
        evaluation_batch_size=7,
        max_rec_history=4,
        max_search_history=3,
        num_sampled=5,
    )


def positives(records, task, split):
    """The items of a task's targets, in the order of the records."""
    return [
        int(record.target_item[target])
        for record in records
        for target in range(len(record.target_task))
        if record.target_task[target] == TASKS[task]
        and record.target_split[target] == SPLITS[split]
    ]


def of_items(data):
    """A model that scores an item by its id: it tells whose score is whose."""
    model = Given(data.spec, data.tables)
    values = np.arange(data.spec.num_items + 1)[:, None] / data.spec.num_items
    model.item_encoder.id_embedding.embeddings.assign(values)
    return model


def item_of(scores, data):
    logits = np.log(scores / (1 - scores))
    return np.round(logits * data.spec.num_items).astype(int).tolist()


@pytest.mark.parametrize("num_groups", [1, 4])
def test_predict_gives_all_targets_in_the_records_order(data, records, num_groups):
    data = dataclasses.replace(data, num_groups=num_groups)
    model = of_items(data)
    scores = model.predict(data.test(), verbose=0)
    assert scores.keys() == set(TASKS)
    for task in TASKS:
        expected = positives(records[0], task, "test")
        assert len(expected) % 7  # so that rows fill up the last batch
        assert scores[task].shape == (len(expected), 100)
        assert item_of(scores[task][:, 0], data) == expected


@pytest.mark.parametrize("num_groups", [1, 4])
def test_predict_of_chosen_users(data, records, num_groups):
    data = dataclasses.replace(data, num_groups=num_groups)
    chosen = [0, 3, 17, 18, 30]
    users = [f"user-{i + 1:04d}" for i in reversed(chosen)]
    scores = of_items(data).predict(data.test(users=users), verbose=0)
    for task in TASKS:
        expected = positives([records[0][i] for i in chosen], task, "test")
        assert item_of(scores[task][:, 0], data) == expected


def test_groups_do_not_change_what_is_predicted(data):
    model = Tiny(data.spec, data.tables)
    grouped = model.predict(data.test(), verbose=0)
    whole = model.predict(dataclasses.replace(data, num_groups=1).test(), verbose=0)
    for task in TASKS:
        np.testing.assert_allclose(grouped[task], whole[task], rtol=1e-5)


def test_predict_takes_a_batch():
    model = tiny()
    inputs = batch(SPEC, random_histories(SPEC, SIZES))
    inputs["rec"]["is_target"] = np.arange(6) < 4
    scores = model.predict(inputs, verbose=0)
    expected = numpy(model.score("rec", inputs))[:4]
    np.testing.assert_allclose(scores["rec"], expected, rtol=1e-6)
    assert scores["search"].shape == (6, 3)


def test_fit_evaluate_and_a_checkpoint_of_plain_keras(data, tmp_path, monkeypatch):
    traced = []
    step = Tiny.train_step
    monkeypatch.setattr(Tiny, "train_step", lambda *a: traced.append(1) or step(*a))
    keras.utils.set_random_seed(2)
    model = Tiny(data.spec, data.tables, width=8)
    model.compile(keras.optimizers.Adam(0.02))
    path = tmp_path / "m.keras"
    history = model.fit(
        data.train(),
        validation_data=data.validation(),
        epochs=3,
        callbacks=[
            keras.callbacks.ModelCheckpoint(
                path, monitor="val_click_loss", mode="min", save_best_only=True
            )
        ],
        verbose=0,
    ).history
    assert len(traced) == 1
    losses = {"loss", "click_loss", "rec_click_loss", "search_click_loss"}
    of_validation = {n.removeprefix("val_") for n in history if n.startswith("val_")}
    assert {n for n in history if not n.startswith("val_")} == losses
    assert of_validation > (losses - {"loss"}) | RANKING
    assert "loss" not in of_validation
    assert history["click_loss"][-1] < history["click_loss"][0]
    np.testing.assert_allclose(
        history["loss"],
        np.add(
            history["rec_click_loss"], np.multiply(0.5, history["search_click_loss"])
        ),
        rtol=1e-5,
    )
    best = keras.models.load_model(path)
    found = best.evaluate(data.validation(), return_dict=True, verbose=0)
    assert found["click_loss"] == pytest.approx(
        min(history["val_click_loss"]), rel=1e-5
    )
    assert found.keys() == of_validation


def test_evaluation_is_that_of_each_target(data):
    """Whatever the batches and groups; rows that fill up do not count."""
    model = Tiny(data.spec, data.tables)
    model.compile("adam")
    scores = model.predict(data.test(), verbose=0)
    for num_groups, size in ((4, 7), (1, 16)):
        other = dataclasses.replace(
            data, num_groups=num_groups, evaluation_batch_size=size
        )
        results = model.evaluate(other.test(), return_dict=True, verbose=0)
        for task, rows in scores.items():
            ranks = 1 + np.sum(rows[:, 1:] >= rows[:, :1], axis=1)
            found = [results[f"{task}_{name}"] for name in ("HR@5", "MRR")]
            expected = [np.mean(ranks <= 5), np.mean(1 / ranks)]
            np.testing.assert_allclose(found, expected, rtol=1e-5)
            loss = -np.log(np.hstack([rows[:, :1], 1 - rows[:, 1:]])).mean()
            assert results[f"{task}_click_loss"] == pytest.approx(loss, rel=1e-4)
        total = results["rec_click_loss"] + 0.5 * results["search_click_loss"]
        assert results["click_loss"] == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize(
    "arguments",
    [{"loss": "mse"}, {"metrics": ["AUC"]}, {"weighted_metrics": []}],
)
def test_compile_takes_no_losses_and_metrics(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=rf"compile\({name}=…\) is not supported"):
        tiny().compile("adam", **arguments)


def test_summary_lists_the_weights():
    lines = []
    model = UniSAR(SPEC, feature_tables(SPEC), **OPTIONS)
    model.summary(print_fn=lambda line, **_: lines.append(line))
    text = "\n".join(lines)
    assert "item_encoder" in text and "Unbuilt" not in text
    assert f"Total params: {model.count_params():,}" in text


def test_one_task_of_two_is_trained(data):
    model = UniSAR(data.spec, data.tables, tasks=("rec",), **OPTIONS)
    own = dataclasses.replace(data, tasks=model.tasks, needs=model.needs)
    model.compile("adam", run_eagerly=True)
    logs = model.fit(own.train(), steps_per_epoch=2, verbose=0).history
    names = ("click_loss", "query_item_loss", "transition_loss")
    assert logs.keys() == {"loss", "click_loss", *(f"rec_{name}" for name in names)}
    assert np.all(np.isfinite(list(logs.values())))
    assert list(model.predict(own.test().take(1), verbose=0)) == ["rec"]
