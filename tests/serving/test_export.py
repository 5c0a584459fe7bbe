import concurrent.futures
import dataclasses
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.raw_events import Event, RawNames, Target, request_of, targets_of

from sar_tf.inputs import INPUTS
from sar_tf.models import QEM, SASRec, SESRec, UniSAR
from sar_tf.serving.export import dense_signature, export, raw_signature

# Scores what <signature>.npz holds by a SavedModel, without this package.
LOAD = """
import sys
import numpy as np
import tensorflow as tf

folder = sys.argv[1]
model = tf.saved_model.load(f"{folder}/1")
scores = {}
for name, signature in model.signatures.items():
    inputs = dict(np.load(f"{folder}/{name}.npz"))
    scores[name] = signature(**{n: tf.constant(a) for n, a in inputs.items()})["scores"]
np.savez(f"{folder}/scores.npz", **scores)
assert not any(name.startswith("sar_tf") for name in sys.modules)
"""


@pytest.fixture(scope="module")
def pipeline(kuaisar_pipeline):
    return kuaisar_pipeline


@pytest.fixture(scope="module")
def model(pipeline):
    keras.utils.set_random_seed(1)
    model = UniSAR(pipeline.spec, pipeline.tables, embedding_dim=8, hidden_dim=8)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:  # Scores far from each other.
        is_table = "embedding" in variable.path
        size = rng.normal(0, 1, variable.shape) if is_table else 1.3 * variable
        variable.assign(size)
    return model


@pytest.fixture(scope="module")
def exported(model, pipeline, tmp_path_factory):
    """A folder with an export that an older and a killed one came before."""
    folder = tmp_path_factory.mktemp("exported")
    (folder / "1").mkdir()
    (folder / "1" / "old").touch()
    (folder / ".partial-1").mkdir()
    export(model, folder / "1", pipeline)
    return folder


@pytest.fixture(scope="module")
def signatures(exported):
    return tf.saved_model.load(exported / "1").signatures


def as_signature(model, task, batch, size=None):
    """Targets of a batch, each with its history, as a signature takes them."""
    rows = batch[task]["history_row"].numpy()
    flat = {name: value.numpy() for name, value in batch[task].items()}
    for name, value in batch["history"].items():
        if INPUTS[name].part == "history":
            flat[name] = value.numpy()[rows]
    names = dense_signature(task, model)
    return {name: tf.constant(flat[name][:size]) for name in names}


def test_another_process_scores_the_same(pipeline, model, exported, kuaisar_raw):
    """From raw events, and from the pipeline's own inputs; all validation targets."""
    expected = {}
    predicted = model.predict(pipeline.validation())
    batch = next(iter(pipeline.test()))
    for task in model.tasks:
        targets = targets_of(pipeline.dataset, kuaisar_raw, task, "validation")
        names = raw_signature(task, model)
        raw = {n: x.numpy() for n, x in request_of(targets, names, seed=1).items()}
        # NumPy's files hold no texts of Python.
        raw = {n: x.astype("S") if x.dtype == object else x for n, x in raw.items()}
        np.savez(exported / f"rank_{task}.npz", **raw)
        expected[f"rank_{task}"] = predicted[task]
        inputs = as_signature(model, task, batch)
        np.savez(exported / f"rank_{task}_dense.npz", **inputs)
        scores = keras.ops.convert_to_numpy(model.score(task, batch))
        expected[f"rank_{task}_dense"] = scores
    subprocess.run(
        [sys.executable, "-c", LOAD, exported],
        check=True,
        cwd=exported,
        timeout=300,
        env={n: x for n, x in os.environ.items() if n != "PYTHONPATH"},
    )
    with np.load(exported / "scores.npz") as scores:
        assert set(scores) == set(expected)
        for name, values in expected.items():
            assert values.shape[1] == 100
            assert np.median(np.ptp(values, axis=1)) > 0.1
            np.testing.assert_allclose(scores[name], values, atol=1e-5)
    assert len(expected["rank_rec"]) > 200 and len(expected["rank_search"]) > 25


def test_any_number_of_rows_and_candidates(pipeline, model, signatures):
    rank = signatures["rank_rec_dense"]
    batch = next(iter(pipeline.evaluate("test")))
    scores = rank(**as_signature(model, "rec", batch))["scores"].numpy()
    few = as_signature(model, "rec", batch, size=3)
    few["candidates"] = few["candidates"][:, 5:12]
    np.testing.assert_allclose(rank(**few)["scores"], scores[:3, 5:12], atol=1e-6)


def test_signature_names_what_a_task_needs(model):
    rec = dense_signature("rec", model)
    search = dense_signature("search", model)
    assert set(search) - set(rec) == {"query_words"}
    assert set(rec) - set(model.needs) == {"candidates"}
    assert "search_queries" not in rec  # only words tell a query here
    assert rec["candidates"].shape.as_list() == [None, None]
    assert rec["rec_items"].shape.as_list() == [None, 5]
    assert rec["search_mask"].dtype == tf.bool


def test_signatures_name_what_a_model_needs(pipeline, model):
    events = {"history_types", "history_times", "history_items"}
    searches = {"history_queries", "history_clicked_items"}
    both = {*events, *searches, "candidates", "user"}
    assert set(raw_signature("rec", model)) == both
    assert set(raw_signature("search", model)) == {*both, "query"}
    # Only ids tell a query here; one tells where a search was started.
    sesrec = SESRec(pipeline.spec, pipeline.tables, item_dims=(4,), num_heads=2)
    assert set(raw_signature("rec", sesrec)) == {*both, "history_sources"}
    dense = set(dense_signature("rec", sesrec))
    assert {"search_queries", "search_sources", "user"} < dense
    assert not {"rec_positions", "query_words", "pair_items"} & dense
    sasrec = SASRec(pipeline.spec, pipeline.tables, embedding_dim=4, hidden_dim=4)
    assert set(raw_signature("rec", sasrec)) == {*events, "candidates"}
    qem = QEM(pipeline.spec, pipeline.tables, embedding_dim=4, hidden_dim=4)
    assert set(raw_signature("search", qem)) == {"candidates", "query"}


def test_an_export_replaces_the_one_before(exported):
    assert not list(exported.glob(".partial-*"))
    assert not (exported / "1" / "old").exists()


def test_data_of_other_sizes_is_refused(pipeline, model, tmp_path):
    other = dataclasses.replace(pipeline, max_rec_history=6)
    with pytest.raises(ValueError, match="made for other data"):
        export(model, tmp_path / "1", other)
    assert not (tmp_path / "1").exists()


def test_unknown_ids_are_read_as_0(pipeline, model, signatures):
    rank = signatures["rank_search_dense"]
    batch = next(iter(pipeline.evaluate("test")))
    inputs = as_signature(model, "search", batch, size=2)

    def scores_with(number):
        """The scores after the first id of each input became this number."""
        changed = {name: x.numpy() for name, x in inputs.items()}
        for array in changed.values():
            if array.dtype == "int32":
                array[(0,) * array.ndim] = number
        return rank(**{n: tf.constant(x) for n, x in changed.items()})["scores"]

    expected = scores_with(0)
    for number in (-1, -(2**31), 2**31 - 1):
        np.testing.assert_array_equal(scores_with(number), expected)


@pytest.fixture(scope="module")
def rank(signatures):
    """The scores of some targets' raw events: rank(task, targets, **changes)."""

    def call(task, targets, **changes):
        signature = signatures[f"rank_{task}"]
        names = signature.structured_input_signature[1]
        request = {**request_of(targets, names), **changes}
        return signature(**request)["scores"].numpy()

    return call


EVENTS = [
    Event("rec", 1, "{0}"),
    Event("search", 2, "", "{7}", "HISTORY", ("{1}", "{2}")),
    Event("rec", 2, "{3}"),
    Event("search", 3, "", "{8} {7}", "HISTORY", ()),
]


@pytest.fixture(scope="module")
def target(pipeline):
    """A target of known ids."""
    names = RawNames(pipeline.dataset)
    items, words = names.item[1:8], names.word[:10]
    texts = [*items, *words[7:]]
    events = [
        event._replace(
            item=event.item.format(*texts),
            query=event.query.format(*texts),
            clicked_items=tuple(x.format(*texts) for x in event.clicked_items),
        )
        for event in EVENTS
    ]
    return Target(names.user[3], events, words[7], names.item[1:30])


def test_saved_model_cli_lists_the_signatures(exported):
    command = "from tensorflow.python.tools.saved_model_cli import main; main()"
    arguments = ["show", f"--dir={exported / '1'}", "--tag_set=serve"]
    listed = subprocess.run(
        [sys.executable, "-c", command, *arguments],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in ("rank_rec", "rank_search", "rank_rec_dense", "rank_search_dense"):
        assert f'SignatureDef key: "{name}"' in listed


@pytest.mark.parametrize("task", ["rec", "search"])
def test_requests_of_any_size(rank, target, task):
    expected = rank(task, [target])
    assert expected.shape == (1, 29) and np.ptp(expected) > 0.01
    for size in (2, 512):
        scores = rank(task, [target] * size)
        np.testing.assert_allclose(scores, np.repeat(expected, size, 0), atol=1e-5)
    many = rank(task, [target._replace(candidates=target.candidates * 345)])
    assert many.shape == (1, 10_005)
    np.testing.assert_allclose(many, np.tile(expected, 345), atol=1e-5)
    assert rank(task, [target._replace(candidates=[])]).shape == (1, 0)
    assert rank(task, [])[:0].shape[0] == 0


def test_events_in_any_order_and_padding(rank, target):
    expected = rank("rec", [target])
    backwards = [target.events[place] for place in (3, 1, 2, 0)]
    padding = [Event("", 99), *backwards, Event("", 0, "nobody", "0", "", ("x",))]
    scores = rank("rec", [target._replace(events=padding)])
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    swapped = [target.events[place] for place in (0, 2, 1, 3)]  # At one time.
    assert np.abs(rank("rec", [target._replace(events=swapped)]) - expected).max() > 0


def test_ids_that_are_unknown(rank, target):
    """Events of unknown items are left out, as the job does it; others read as 0."""
    expected = rank("rec", [target])
    events = [Event("rec", 2, "unknown"), *target.events]
    events[2] = events[2]._replace(clicked_items=("?", *events[2].clicked_items))
    scores = rank("rec", [target._replace(events=events)])
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    scores = rank("rec", [target._replace(user="nobody", candidates=["new", ""])])
    assert scores[0, 0] == scores[0, 1] and 0 < scores[0, 0] < 1


def test_nothing_is_known(rank, target):
    """Histories without events, queries without words."""
    nothing = Target("nobody", [], "…", target.candidates)
    for task in ("rec", "search"):
        scores = rank(task, [nothing, target])
        assert np.isfinite(scores).all()
        np.testing.assert_allclose(scores[1:], rank(task, [target]), atol=1e-5)
        # Without an axis for events, too.
        np.testing.assert_allclose(rank(task, [nothing]), scores[:1], atol=1e-5)
    same = rank("search", [nothing._replace(query=text) for text in ("", "0", "w x")])
    np.testing.assert_allclose(same, np.repeat(scores[:1], 3, 0), atol=1e-5)


def test_bad_requests(rank, target):
    invalid = tf.errors.InvalidArgumentError
    with pytest.raises(invalid, match="must be rec, search or empty"):
        rank("rec", [target], history_types=tf.constant([["rec", "buy", "", ""]]))
    with pytest.raises(invalid, match="one size of axis N"):
        rank("rec", [target], history_times=tf.constant([[1, 2]], tf.int64))
    with pytest.raises(invalid, match="one size of axis B"):
        rank("rec", [target], user=tf.constant(["1", "2"]))
    with pytest.raises(invalid, match=r"(?s)node candidates.*\[1\] is not comp"):
        rank("rec", [target], candidates=tf.constant(["1"]))
    with pytest.raises(invalid, match="expected to be a string tensor but is a int32"):
        rank("rec", [target], user=tf.constant([7]))


def test_threads_get_the_same_answers(rank, target):
    users = [target, target._replace(events=target.events[:2])]
    users.append(target._replace(user=""))
    expected = [rank("search", [user]) for user in users]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        scores = list(pool.map(lambda i: rank("search", [users[i % 3]]), range(48)))
    for index, found in enumerate(scores):
        np.testing.assert_array_equal(found, expected[index % 3])
