import dataclasses

import numpy as np
import pytest
from keras import ops
from support.batches import SPEC, batch, feature_tables, random_histories
from support.gradients import gradients
from support.layer_weights import numpy, randomize
from support.numpy_views import dense, user_vector

from sar_tf.layers.projection import project_on_span
from sar_tf.models import IV4Rec, get
from sar_tf.models.catalogue import prepare_targets, score_items
from sar_tf.models.training_tables import encode_query_ids

OPTIONS = {
    "embedding_dim": 4,
    "hidden_dim": 6,
    "weight_units": (7, 4),
    "dropout": 0.0,
    "attention_units": (5,),
    "prediction_units": (8, 4),
}
# (recommendations, searches) of each history; SPEC holds at most (4, 3).
SIZES = [(4, 3), (2, 1), (0, 3), (1, 2), (0, 0)]
INPUTS = batch(SPEC, random_histories(SPEC, SIZES))


def small_model(**options):
    return randomize(IV4Rec(SPEC, feature_tables(SPEC), **OPTIONS, **options))


def changed(part, **arrays):
    return {**INPUTS, part: {**INPUTS[part], **arrays}}


def query_vectors(model, queries):
    """By the queries' words in the tables; 0 for none."""
    words = feature_tables(SPEC)["training"]["query_words"]
    vectors = numpy(model.encode_queries(words[queries]))
    return np.where(queries[..., None] > 0, vectors, 0)


def perceptron(layer, x, last):
    for part in layer.denses:
        x = x @ numpy(part.kernel) + numpy(part.bias)
        if part is not layer.denses[-1] or last:
            x = np.tanh(x)
    return x


def numpy_fit(t, z):
    """The ridge regression of one treatment on its queries, by the normal equation."""
    eps = 1e-4 * np.sum(z * z) / len(z) + 1e-8
    return z.T @ np.linalg.solve(z @ z.T + eps * np.eye(len(z)), z @ t)


@pytest.mark.parametrize("last_tanh", [False, True])
@pytest.mark.parametrize("recombine", ["released", "paper"])
def test_rebuilt_items_by_the_equations(recombine, last_tanh):
    model = small_model(recombine=recombine, last_tanh=last_tanh)
    candidates, queries = (
        INPUTS["rec"][name] for name in ("candidates", "candidate_queries")
    )
    item = numpy(model.encode_items(candidates)).astype("float64")
    z = query_vectors(model, queries).astype("float64")
    t = perceptron(model.treatment, item, last=True)
    fit = np.array(
        [numpy_fit(*x) for x in zip(t.reshape(-1, 6), z.reshape(-1, 2, 6), strict=True)]
    )
    fit = fit.reshape(t.shape)
    seen = np.concatenate([t, z.reshape(*t.shape[:2], 12)], axis=-1)
    a, b = (
        1 / (1 + np.exp(-perceptron(layer, seen, last_tanh)))
        for layer in (model.of_residual, model.of_fit)
    )
    expected = a * (t - fit if recombine == "paper" else t) + b * fit
    if last_tanh:
        assert min(a.min(), b.min()) > 0.268 and max(a.max(), b.max()) < 0.732
    result = model.rebuild(
        *model.parts(model.encode_target(INPUTS["rec"])["candidates"]), False
    )
    np.testing.assert_allclose(numpy(result), expected, atol=2e-5)


def test_din_reads_rebuilt_items():
    """Of candidates and of the history, with the same weights."""
    model = small_model()
    encoded = model.encode_history(INPUTS["history"], training=False)
    item = model.encode_items(INPUTS["history"]["rec_items"])
    z = query_vectors(model, INPUTS["history"]["rec_item_queries"])
    expected = numpy(model.rebuild(item, z, training=False))
    np.testing.assert_allclose(numpy(encoded["items"]), expected, atol=1e-6)
    vectors = model.encode_target(INPUTS["rec"])["candidates"]
    mask = INPUTS["history"]["rec_items"] > 0
    v, u = model.see(encoded, vectors, mask, training=False)
    rebuilt = numpy(model.rebuild(*model.parts(vectors), False))
    np.testing.assert_array_equal(numpy(v), rebuilt)
    read = model.activation_unit(encoded["items"], rebuilt, mask)
    np.testing.assert_array_equal(numpy(u), numpy(read))
    logits = model.head(np.concatenate([v, u], -1), np.ones(v.shape[:2], bool))
    expected = 1 / (1 + np.exp(-numpy(logits)))
    np.testing.assert_allclose(numpy(model.score("rec", INPUTS)), expected, atol=1e-6)


def test_nrhub_reads_rebuilt_items():
    """The candidates and the view of recommendations; the other views stay."""
    model = small_model(base="nrhub", view_dim=7)
    history = INPUTS["history"]
    item = model.encode_items(history["rec_items"])
    z = query_vectors(model, history["rec_item_queries"])
    rebuilt = numpy(model.rebuild(item, z, training=False))
    users = [user_vector(model, history, row, rebuilt) for row in range(len(SIZES))]
    vectors = model.encode_target(INPUTS["rec"])["candidates"]
    v = dense(model.of_item, numpy(model.rebuild(*model.parts(vectors), False)))
    expected = 1 / (1 + np.exp(-np.einsum("bk,bck->bc", users, v)))
    result = numpy(model.score("rec", INPUTS))
    np.testing.assert_allclose(result, expected, atol=1e-5)
    plain = [user_vector(model, history, row) for row in range(2)]
    assert np.abs(np.array(plain) - users[:2]).max(axis=1).min() > 1e-3


def test_one_query_projects_on_its_line():
    rng = np.random.default_rng(0)
    t, z = rng.normal(size=(2, 5, 6)).astype("float32")
    fit = numpy(project_on_span(t, z[:, None], ridge=0.0))
    expected = z * np.sum(z * t, -1, keepdims=True) / np.sum(z * z, -1, keepdims=True)
    np.testing.assert_allclose(fit, expected, atol=1e-5)
    np.testing.assert_allclose(np.sum(fit * (t - fit), axis=-1), 0, atol=1e-5)
    for other in (
        project_on_span(t, 30 * z[:, None], ridge=0.0),
        project_on_span(fit, z[:, None], ridge=0.0),
    ):
        np.testing.assert_allclose(numpy(other), fit, atol=1e-5)


def test_the_ridge_follows_the_scale_and_keeps_parallel_queries_finite():
    rng = np.random.default_rng(1)
    t, z = rng.normal(size=(2, 4, 6)).astype("float32")
    pair = np.stack([z, 2 * z], axis=1)
    one = numpy(project_on_span(t, pair))
    np.testing.assert_allclose(numpy(project_on_span(t, 100 * pair)), one, atol=1e-4)
    alone = numpy(project_on_span(t, z[:, None], ridge=0.0))
    np.testing.assert_allclose(one, alone, atol=1e-3)
    model = small_model()
    same = np.full_like(INPUTS["rec"]["candidate_queries"], 3)
    result = gradients(
        lambda: model.losses_of("rec", changed("rec", candidate_queries=same))[
            "click_loss"
        ],
        model.trainable_variables,
    )
    assert all(np.all(np.abs(gradient) < 1e3) for gradient in result)


def test_items_without_queries_keep_a_share_of_their_treatment():
    model = small_model()
    none = {"candidate_queries": np.zeros_like(INPUTS["rec"]["candidate_queries"])}
    vectors = model.encode_target({**INPUTS["rec"], **none})["candidates"]
    item, z = model.parts(vectors)
    assert not numpy(z).any()
    t = numpy(model.treatment(item))
    seen = np.concatenate([t, np.zeros((*t.shape[:2], 12))], axis=-1)
    a = 1 / (1 + np.exp(-perceptron(model.of_residual, seen, False)))
    result = numpy(model.rebuild(item, z, training=False))
    np.testing.assert_allclose(result, a * t, atol=1e-5)
    result = gradients(
        lambda: model.losses_of("rec", changed("rec", **none))["click_loss"],
        model.trainable_variables,
    )
    assert all(np.all(np.isfinite(gradient)) for gradient in result)


@pytest.mark.parametrize("freeze_instruments", [False, True])
def test_queries_have_a_gradient_unless_frozen(freeze_instruments):
    spec = dataclasses.replace(SPEC, caption_length=0)
    tables = feature_tables(spec)
    model = IV4Rec(spec, tables, freeze_instruments=freeze_instruments, **OPTIONS)
    result = gradients(
        lambda: randomize(model).losses_of("rec", INPUTS)["click_loss"],
        model.query_encoder.trainable_variables,
    )
    assert any(gradient.any() for gradient in result) != freeze_instruments


def test_without_inputs_of_training_the_tables_are_read():
    """As a served model does; a batch that has what they say gives the same."""
    model, table = small_model(), feature_tables(SPEC)["training"]["item_queries"]
    history = {**INPUTS["history"]}
    history["rec_item_queries"] = table[history["rec_items"]]
    rec = {**INPUTS["rec"]}
    rec["candidate_queries"] = table[rec["candidates"]]
    given = model.score("rec", {"history": history, "rec": rec})
    del history["rec_item_queries"], rec["candidate_queries"]
    served = {"history": history, "rec": rec}
    np.testing.assert_array_equal(numpy(model.score("rec", served)), numpy(given))
    assert np.ptp(numpy(model.score("rec", INPUTS)) - numpy(given)) > 1e-3
    with pytest.raises(ValueError, match="has no rec_item_queries: make the data"):
        model.losses_of("rec", served)
    items = np.arange(1, 6, dtype="int32")
    catalogue = score_items(
        model,
        "rec",
        prepare_targets(model, "rec", {**served, "rec": INPUTS["rec"]}),
        model.encode_candidates(items),
    )
    rec["candidates"] = np.tile(items, (len(SIZES), 1))
    np.testing.assert_allclose(
        numpy(catalogue), numpy(model.score("rec", served)), atol=1e-6
    )


def test_many_queries_are_encoded_where_they_occur(monkeypatch):
    model, queries = small_model(), INPUTS["rec"]["candidate_queries"]
    at_once = numpy(encode_query_ids(model, queries))
    np.testing.assert_allclose(at_once, query_vectors(model, queries), atol=1e-6)
    monkeypatch.setattr("sar_tf.models.training_tables._FEW", 1)
    each = numpy(encode_query_ids(model, queries))
    np.testing.assert_allclose(each, at_once, atol=1e-6)


def test_registered_and_refuses_what_it_cannot_do():
    assert get("iv4rec") is IV4Rec
    with pytest.raises(ValueError, match="tasks must be of rec for IV4Rec, not search"):
        IV4Rec(SPEC, feature_tables(SPEC), tasks=("search",), **OPTIONS)
    with pytest.raises(ValueError, match=r"pass tables=data\.tables .*item_queries"):
        IV4Rec(SPEC, {k: feature_tables(SPEC)[k] for k in ("user", "item")}, **OPTIONS)
    spec = dataclasses.replace(SPEC, num_words=0, caption_length=0)
    with pytest.raises(ValueError, match="IV4Rec reads the words of queries"):
        IV4Rec(spec, feature_tables(spec), **OPTIONS)


def test_the_content_of_empty_slots_is_masked():
    """phi of a padded slot is not zero."""
    model = small_model()
    encoded = model.encode_history(INPUTS["history"], training=False)
    empty = ~(INPUTS["history"]["rec_items"] > 0)
    assert numpy(encoded["items"])[empty].any()
    assert not numpy(encoded["mask"])[empty].any()
    assert float(ops.sum(ops.cast(encoded["mask"], "int32"))) == 7
