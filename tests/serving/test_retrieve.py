import keras
import numpy as np
import pytest
import tensorflow as tf
from support.layer_weights import randomize
from support.raw_events import Target, request_of, targets_of
from support.tiny_model import Given, Tiny

from sar_tf.models import DIN, SASRec
from sar_tf.models.catalogue import can_retrieve
from sar_tf.serving import retrieve as retrieve_module
from sar_tf.serving.export import export


@pytest.fixture(scope="module")
def signatures(amazon_pipeline, tmp_path_factory):
    """Of an exported model of both tasks."""
    folder = tmp_path_factory.mktemp("exported")
    model = randomize(Tiny(amazon_pipeline.spec, amazon_pipeline.tables))
    export(model, folder / "1", amazon_pipeline)
    return tf.saved_model.load(folder / "1").signatures


@pytest.fixture(scope="module")
def ranker(amazon_pipeline, tmp_path_factory):
    """Signatures of a model that ranks what its retrieval head finds, and the model."""
    folder = tmp_path_factory.mktemp("exported")
    model = DIN(
        amazon_pipeline.spec,
        amazon_pipeline.tables,
        embedding_dim=4,
        hidden_dim=6,
        retrieval_weight=0.1,
        retrieval_dim=3,
    )
    randomize(model)
    export(model, folder / "1", amazon_pipeline, num_ranked=20)
    return tf.saved_model.load(folder / "1").signatures, model


@pytest.fixture(scope="module")
def call(signatures):
    """A signature's outputs for some targets: call(name, targets, **inputs)."""

    def run(name, targets, signatures=signatures, **more):
        signature = signatures[name]
        names = signature.structured_input_signature[1].keys() - more.keys()
        request = {**request_of(targets, names), **more}
        return {n: x.numpy() for n, x in signature(**request).items()}

    return run


def retrieve(call, task, targets, k, excluded="", **options):
    excluded = tf.constant([excluded.split()] * len(targets), tf.string)
    inputs = {"k": tf.constant(k), "excluded_items": excluded, **options}
    found = call(f"retrieve_{task}", targets, **inputs)
    return found["items"].astype(str), found["scores"]


@pytest.mark.parametrize("task", ["rec", "search"])
def test_the_best_of_the_catalogue(amazon_pipeline, amazon_raw, call, task):
    """Those that ranking all items puts first."""
    dataset = amazon_pipeline.dataset
    every = np.array(dataset.vocabulary("item"))
    targets = [
        target._replace(candidates=every.tolist())
        for target in targets_of(dataset, amazon_raw, task, "test")
    ]
    scores = call(f"rank_{task}", targets)["scores"]
    order = np.argsort(-scores, axis=1, kind="stable")[:, :9]
    items, best = retrieve(call, task, targets, 9)
    assert items.shape == best.shape == (len(targets), 9)
    np.testing.assert_allclose(best, np.take_along_axis(scores, order, 1), atol=1e-6)
    # Nearly equal scores may come in another order.
    assert (items == every[order]).mean() > 0.99
    seen = " ".join(items[0, :3])
    others, best_others = retrieve(call, task, targets[:1], 6, seen + " unknown")
    np.testing.assert_array_equal(others[0], items[0, 3:])
    np.testing.assert_allclose(best_others[0], best[0, 3:], atol=1e-6)


def test_more_than_there_are(amazon_pipeline, call):
    every = amazon_pipeline.dataset.vocabulary("item")
    nobody = Target("nobody", [], "", [])
    items, scores = retrieve(call, "rec", [nobody], len(every) + 5)
    assert sorted(items[0]) == sorted(every)
    assert (np.diff(scores[0]) <= 0).all() and (scores > 0).all()
    items, scores = retrieve(call, "rec", [nobody], 4, " ".join(every[2:]))
    assert set(items[0, :2]) == set(every[:2])
    assert list(items[0, 2:]) == ["", ""] and list(scores[0, 2:]) == [0.0, 0.0]


def test_each_user_has_items_of_its_own_left_out(call):
    nobody = Target("nobody", [], "", [])
    first, _ = retrieve(call, "rec", [nobody], 3)
    left_out = tf.constant([[first[0, 0], ""], ["", first[0, 1]]])
    found = call(
        "retrieve_rec", [nobody] * 2, k=tf.constant(2), excluded_items=left_out
    )["items"].astype(str)
    assert found.tolist() == [[*first[0, 1:]], [first[0, 0], first[0, 2]]]


def test_only_products_are_looked_up(amazon_pipeline):
    class Biased(SASRec):
        def logits(self, task, rows, training):
            return super().logits(task, rows, training) + 1.0

    spec = amazon_pipeline.spec
    keras.utils.set_random_seed(1)
    assert can_retrieve(SASRec(spec, hidden_dim=4))
    assert not can_retrieve(Biased(spec, hidden_dim=4))
    assert not can_retrieve(Given(spec))


def test_the_model_ranks_what_its_head_finds(amazon_pipeline, amazon_raw, ranker, call):
    signatures, model = ranker
    dataset = amazon_pipeline.dataset
    every = dataset.vocabulary("item")
    batch = next(iter(amazon_pipeline.test()))
    vectors = keras.ops.convert_to_numpy(model.target_vectors("rec", batch))
    item_vectors = model.item_vectors(np.arange(1, len(every) + 1))
    closeness = vectors @ keras.ops.convert_to_numpy(item_vectors).T
    targets = targets_of(dataset, amazon_raw, "rec", "test")
    options = {"signatures": signatures}
    items, scores = retrieve(call, "rec", targets, 20, **options)
    for row, target in enumerate(targets):
        near = np.argsort(-closeness[row])[:20]
        assert set(items[row]) == {every[place] for place in near}
        own = [target._replace(candidates=items[row].tolist())]
        ranked = call("rank_rec", own, **options)["scores"][0]
        np.testing.assert_allclose(scores[row], ranked, atol=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()
    best, _ = retrieve(call, "rec", targets, 3, **options)
    np.testing.assert_array_equal(best, items[:, :3])
    rest, scores = retrieve(call, "rec", targets[:1], 4, " ".join(every[2:]), **options)
    assert set(rest[0]) == {*every[:2], ""} and list(scores[0, 2:]) == [0.0, 0.0]
    most, _ = retrieve(call, "rec", targets[:1], 10**6, **options)
    assert sorted(most[0]) == sorted(every)


@pytest.mark.parametrize("k", [1, 7, 40, 130])
def test_the_best_of_blocks(monkeypatch, k):
    """Those of TensorFlow's own function, in its order, where many are equal."""
    monkeypatch.setattr(retrieve_module, "_BLOCK", 4)
    scores = np.random.default_rng(0).integers(0, 30, (5, 130)).astype("float32")
    scores[1] = 3.0
    signature = [tf.TensorSpec([None, 130]), tf.TensorSpec([], tf.int32)]
    best = tf.function(retrieve_module.top_k, input_signature=signature)
    found = best(scores, k)
    expected = tf.math.top_k(scores, k)
    for own, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(own, other)
