import numpy as np
import pytest
from support.batches import SPEC, batch, feature_tables, random_histories
from support.gradients import gradients
from support.layer_weights import numpy, randomize
from support.numpy_views import dense, user_vector

from sar_tf.layers.user_instrument import UserInstrument
from sar_tf.models import IV4RecPlus, get

OPTIONS = {
    "embedding_dim": 4,
    "hidden_dim": 6,
    "fit_units": (7,),
    "gate_units": (4,),
    "dropout": 0.0,
    "num_heads": 2,
    "attention_units": (5,),
    "prediction_units": (8, 4),
}
SIZES = [(4, 3), (2, 1), (3, 0), (1, 2), (0, 0)]
INPUTS = batch(SPEC, random_histories(SPEC, SIZES))
HISTORY, REC = INPUTS["history"], INPUTS["rec"]


def small_model(rebuilds="items", **options):
    tables = feature_tables(SPEC)
    return randomize(IV4RecPlus(SPEC, tables, rebuilds=rebuilds, **OPTIONS, **options))


def perceptron(layer, x):
    for part in layer.denses:
        x = x @ numpy(part.kernel) + numpy(part.bias)
        if part is not layer.denses[-1]:
            x = np.maximum(x, 0)
    return x


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def mixed(treatment, fit, gate, is_fitted):
    g = sigmoid(perceptron(gate, np.concatenate([fit, treatment], axis=-1)))
    return np.where(is_fitted[..., None], g * fit + (1 - g) * treatment, treatment)


def numpy_items(model, items, queries):
    """T, T', the mean squared errors, and which items have queries."""
    words = feature_tables(SPEC)["training"]["query_words"]
    is_query = (queries > 0)[..., None]
    z = np.where(is_query, numpy(model.encode_queries(words[queries])), 0)
    z = z.sum(-2) / np.maximum(is_query.sum(-2), 1)
    t, fit = numpy(model.encode_items(items)), perceptron(model.item_fit, z)
    has_query = (queries > 0).any(-1)
    errors = np.mean((fit - t) ** 2, axis=-1)
    return t, mixed(t, fit, model.item_gate, has_query), errors, has_query


def read_all(model, training=False):
    encoded = model.encode_history(HISTORY, training)
    target = {**model.encode_target(REC), "ids": REC}
    return encoded, model.read("rec", encoded, target, training)


def test_items_by_the_equations():
    model = small_model()
    encoded, rows = read_all(model)
    _, of_history, errors, has_query = numpy_items(
        model, HISTORY["rec_items"], HISTORY["rec_item_queries"]
    )
    mask = HISTORY["rec_items"] > 0
    np.testing.assert_allclose(numpy(encoded["items"]), of_history, atol=1e-5)
    of_slots = errors[mask & has_query].mean()
    _, v, errors, has_query = numpy_items(
        model, REC["candidates"], REC["candidate_queries"]
    )
    np.testing.assert_allclose(numpy(rows["seen"])[..., :6], v, atol=1e-5)
    u = model.activation_unit(encoded["items"], v.astype("float32"), mask)
    np.testing.assert_allclose(numpy(rows["seen"])[..., 6:], numpy(u), atol=1e-4)
    losses = model.losses_of("rec", INPUTS)
    assert float(losses["history_fit_loss"]) == pytest.approx(of_slots, rel=1e-4)
    expected = errors[has_query].mean()
    assert float(losses["item_fit_loss"]) == pytest.approx(expected, rel=1e-4)


def test_users_by_the_equations():
    """Clicked items stay; rows 2 and 4 have no searches, and keep what DIN pools."""
    model = small_model("users")
    encoded, rows = read_all(model)
    items = numpy(model.encode_items(HISTORY["rec_items"]))
    np.testing.assert_array_equal(numpy(encoded["items"]), items)
    t, v, *_ = numpy_items(model, REC["candidates"], REC["candidate_queries"])
    mask = HISTORY["rec_items"] > 0
    pooled = numpy(model.activation_unit(items, v.astype("float32"), mask))
    asked = model.user_instrument(
        model.encode_queries(HISTORY["search_words"]), HISTORY["search_mask"], t
    )
    fit = perceptron(model.user_fit, numpy(asked))
    has_searches = np.repeat(HISTORY["search_mask"].any(1)[:, None], 3, axis=1)
    expected = mixed(pooled, fit, model.user_gate, has_searches)
    assert has_searches[:, 0].tolist() == [True, True, False, True, False]
    np.testing.assert_allclose(numpy(rows["seen"])[..., 6:], expected, atol=1e-4)
    errors = np.mean((fit - pooled) ** 2, axis=-1)[has_searches]
    result = numpy(rows["history_errors"])[has_searches]
    np.testing.assert_allclose(result, errors, rtol=1e-3)
    np.testing.assert_array_equal(rows["history_fitted"], has_searches)


@pytest.mark.parametrize("rebuilds", ["items", "users"])
def test_over_nrhub_by_the_equations(rebuilds):
    """Row 2 has no searches and row 4 nothing: their views are not rebuilt."""
    model = small_model(rebuilds, base="nrhub", view_dim=7)
    items, mask = HISTORY["rec_items"], HISTORY["rec_items"] > 0
    t, rec, errors, has_query = numpy_items(model, items, HISTORY["rec_item_queries"])
    users, of_history = [], [errors[mask & has_query].mean()]
    if rebuilds == "users":
        rec, of_history = t, []
    for row in range(len(SIZES)):
        is_asked, rebuild = HISTORY["search_mask"][row], lambda pooled: pooled
        if rebuilds == "users" and is_asked.any():
            words = HISTORY["search_words"][row][is_asked]
            asked = model.user_instrument(
                model.encode_queries(words)[None], np.ones((1, len(words)), bool)
            )
            fit = perceptron(model.user_fit, numpy(asked))

            def rebuild(pooled, fit=fit):
                of_history.append(np.mean((fit[0] - pooled) ** 2))
                return mixed(pooled[None], fit, model.user_gate, np.array([True]))[0]

        users.append(user_vector(model, HISTORY, row, rec, rebuild))
    _, v, *_ = numpy_items(model, REC["candidates"], REC["candidate_queries"])
    logits = np.einsum("bk,bck->bc", users, dense(model.of_item, v))
    result = numpy(model.score("rec", INPUTS))
    np.testing.assert_allclose(result, sigmoid(logits), atol=1e-5)
    result = float(model.losses_of("rec", INPUTS)["history_fit_loss"])
    assert result == pytest.approx(np.mean(of_history), rel=1e-3)


def test_the_users_instrument_by_the_equations():
    """For candidates, and without: then the vector of a candidate is as if 0."""
    rng = np.random.default_rng(0)
    x, c = rng.normal(size=(3, 4, 6)), rng.normal(size=(3, 2, 6))
    c[:, 1] = 0
    mask = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], bool)
    layer = UserInstrument(num_heads=2)
    layer(x.astype("float32"), mask, c.astype("float32"))
    randomize(layer)
    result = numpy(layer(x.astype("float32"), mask, c.astype("float32")))
    for row in range(3):
        own = (x[row, mask[row]] @ numpy(layer.linear.kernel)) + numpy(
            layer.linear.bias
        )
        if not len(own):
            np.testing.assert_array_equal(result[row], 0)
            continue
        own = own[None].astype("float32")
        y = numpy(layer.attention(own, own, np.ones(own.shape[:2], bool)))[0]
        keys = y @ numpy(layer.of_key.kernel) + numpy(layer.of_key.bias)
        for column in range(2):
            asked = c[row, column] @ numpy(layer.of_candidate.kernel)
            logits = np.tanh(asked + keys) @ numpy(layer.logit.kernel)[:, 0]
            weights = np.exp(logits) / np.exp(logits).sum()
            expected = weights @ (y @ numpy(layer.of_value.kernel))
            np.testing.assert_allclose(result[row, column], expected, atol=1e-5)
    alone = UserInstrument(num_heads=2)
    alone(x.astype("float32"), mask)
    weights = {w.path.split("/", 1)[1]: w for w in layer.weights}
    for weight in alone.weights:
        weight.assign(weights[weight.path.split("/", 1)[1]])
    found = numpy(alone(x.astype("float32"), mask))
    np.testing.assert_allclose(found, result[:, 1], atol=1e-6)


@pytest.mark.parametrize("rebuilds", ["items", "users"])
def test_the_fits_move_neither_the_items_nor_din(rebuilds):
    model = small_model(rebuilds)

    def is_moved(name, layer):
        result = gradients(
            lambda: model.losses_of("rec", INPUTS)[name], layer.trainable_variables
        )
        return any(gradient.any() for gradient in result)

    for name in ("item_fit_loss", "history_fit_loss"):
        assert not is_moved(name, model.item_encoder.id_embedding)
        assert not is_moved(name, model.activation_unit)
        assert not is_moved(name, model.head)
        assert is_moved(name, model.query_encoder)
    assert is_moved("click_loss", model.item_encoder.id_embedding)
    of_users = model.user_fit if rebuilds == "users" else model.item_fit
    assert is_moved("history_fit_loss", of_users)


def test_lambdas_weigh_the_fits():
    weights = {"history_fit_weight": 0.5, "item_fit_weight": 2.0}
    losses = small_model(**weights).losses_of("rec", INPUTS)
    model = small_model(**weights)
    model.compile("sgd")
    inputs = {"history": HISTORY, "rec": REC}
    total = model.train_on_batch(inputs, return_dict=True)["loss"]
    expected = (
        losses["click_loss"]
        + 0.5 * losses["history_fit_loss"]
        + 2.0 * losses["item_fit_loss"]
    )
    assert float(total) == pytest.approx(float(expected), rel=1e-4)


def test_registered():
    assert get("iv4rec_plus") is IV4RecPlus
    assert small_model().needs == IV4RecPlus.needs
    more = ("search_words", "search_mask")
    assert small_model("users").needs == (*IV4RecPlus.needs, *more)
