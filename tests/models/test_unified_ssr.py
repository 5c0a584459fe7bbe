import keras
import numpy as np
import pytest
from keras import ops
from support import layer_weights
from support.batches import SPEC, batch, feature_tables, random_histories
from support.layer_weights import numpy, randomize
from support.numpy_equations import attention
from support.search_case import changed, query_vectors

from sar_tf.layers.between import Between
from sar_tf.layers.pre_norm import sinusoids
from sar_tf.models import UnifiedSSR, get
from sar_tf.models.catalogue import scores_are_products

HEADS, D = 2, 6
OPTIONS = {"embedding_dim": 4, "hidden_dim": D, "num_heads": HEADS, "dropout": 0.0}
# (recommendations, searches) of each history; SPEC holds at most (4, 3).
SIZES = [(4, 3), (2, 1), (0, 3), (1, 2), (4, 0), (0, 0)]
INPUTS = batch(SPEC, random_histories(SPEC, SIZES))
HISTORY = INPUTS["history"]


def small_model(**options):
    model = randomize(UnifiedSSR(SPEC, feature_tables(SPEC), **OPTIONS, **options))
    if "search" in model.tasks:
        model.product_share.assign(0.3)
    return model


@pytest.fixture(scope="module")
def model():
    return small_model()


def numpy_norm(norm, x):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return x * numpy(norm.gamma) + numpy(norm.beta)


def numpy_block(block, x, mask, other, other_mask):
    def attend(layer, queries, keys, key_mask):
        weights = layer_weights.attention(layer)
        allowed = np.tile(key_mask, (len(queries), 1))
        if block.is_causal:
            allowed = np.tril(allowed)
        return attention(weights, queries, keys, allowed, HEADS)

    own = numpy_norm(block.self_norm, x)
    x = x + attend(block.self_attention, own, own, mask)
    own = numpy_norm(block.cross_norm, x)
    x = x + attend(block.cross_attention, own, other, other_mask)
    own = numpy_norm(block.feed_forward_norm, x)
    into, out = block.feed_forward_in, block.feed_forward_out
    hidden = np.maximum(own @ numpy(into.kernel) + numpy(into.bias), 0)
    return x + hidden @ numpy(out.kernel) + numpy(out.bias)


def numpy_outputs(model, sequences, masks, user):
    """The outputs of sequences without padding, of which one may be its own partner."""
    x = [one + user + sinusoids(len(one), D) for one in sequences]
    for block in model.blocks:
        x = [
            numpy_block(block, x[i], masks[i], x[-1 - i], masks[-1 - i])
            for i in range(len(x))
        ]
    return [numpy_norm(model.norm, one) for one in x]


def numpy_windows(length):
    """The places of the two windows: t / n in [1/8, 3/8] and in [5/8, 7/8]."""
    shares = np.arange(length) / length
    return [(shares >= low) & (shares <= low + 0.25) for low in (0.125, 0.625)]


def numpy_vector(outputs):
    is_doubled = any(window[-1] for window in numpy_windows(len(outputs)))
    return outputs[-1] * (2 if is_doubled else 1)


def numpy_of_row(model, task, row):
    """The outputs, the masks, and the vector that candidates are multiplied by."""
    user = numpy(model.user_encoder(INPUTS[task]["user"]))[row]
    if task == "rec":
        items = HISTORY["rec_items"][row]
        number = max((items > 0).sum(), 1)
        sequences = [numpy(model.encode_items(items[:number]))]
        masks = [items[:number] > 0]
    else:
        number = HISTORY["search_mask"][row].sum()
        past = numpy(model.encode_queries(HISTORY["search_words"][row, :number]))
        products, is_product = [np.zeros(D)], [False]
        for clicked in HISTORY["clicked_items"][row, :number]:
            vectors = numpy(model.encode_items(clicked[clicked > 0]))
            is_product.append(len(vectors) > 0)
            products.append(vectors.mean(0) if len(vectors) else np.zeros(D))
        queries = np.concatenate([past, query_vectors(model)[row : row + 1]])
        sequences = [np.stack(products), queries]
        masks = [np.array(is_product), np.ones(len(queries), bool)]
    outputs = numpy_outputs(model, sequences, masks, user)
    share = 1.0 if task == "rec" else 0.3
    vector = share * numpy_vector(outputs[0]) + (1 - share) * numpy_vector(outputs[-1])
    return outputs, masks, vector


def test_registered_for_both_tasks():
    assert get("unified_ssr") is UnifiedSSR
    assert UnifiedSSR.tasks == ("rec", "search")
    assert "rec_items" not in small_model(tasks=("search",)).needs
    assert small_model(tasks=("rec",)).needs == ("user", "rec_items")


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("task", ["rec", "search"])
def test_scores_by_hand(task, is_causal):
    model = small_model(is_causal=is_causal)
    vectors = [numpy_of_row(model, task, row)[2] for row in range(len(SIZES))]
    items = numpy(model.encode_items(INPUTS[task]["candidates"]))
    logits = np.einsum("bd,bcd->bc", vectors, items)
    result = numpy(model.score(task, INPUTS))
    np.testing.assert_allclose(result, 1 / (1 + np.exp(-logits)), atol=1e-5)


def numpy_cosine(a, b):
    return a @ b / np.sqrt((a @ a) * (b @ b))


@pytest.mark.parametrize("task", ["rec", "search"])
def test_session_loss_by_hand(model, task):
    """Windows without a place that holds something do not count."""
    within = {"products": [], "queries": []}
    between = []
    for row in range(len(SIZES)):
        outputs, masks, _ = numpy_of_row(model, task, row)
        means = {}
        for name, x, mask in zip(within, outputs, masks, strict=False):
            kept = [window & mask for window in numpy_windows(len(x))]
            means[name] = [x[own].mean(0) if own.any() else None for own in kept]
            if all(mean is not None for mean in means[name]):
                within[name].append(abs(numpy_cosine(*means[name])))
        if task == "search":
            for pair in zip(*means.values(), strict=True):
                if all(mean is not None for mean in pair):
                    between.append(numpy_cosine(*pair))
    assert within["products"] and bool(between) == (task == "search")
    terms = [*within.values(), -np.array(between)]
    expected = sum(np.mean(term) for term in terms if len(term))
    result = model.losses_of(task, INPUTS)["session_loss"]
    assert float(result) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("task", "hidden"),
    [("rec", ("search_words", "clicked_items")), ("search", ("rec_items",))],
)
def test_a_score_does_not_see_the_other_tasks_history(model, task, hidden):
    edited = {name: np.roll(HISTORY[name], 1, axis=0) for name in hidden}
    result = model.score(task, changed(INPUTS, "history", **edited))
    np.testing.assert_array_equal(numpy(result), numpy(model.score(task, INPUTS)))
    other = "search" if task == "rec" else "rec"
    result = model.score(other, changed(INPUTS, "history", **edited))
    assert not np.allclose(numpy(result), numpy(model.score(other, INPUTS)))


def encode(model, sequences, masks):
    places = np.tile(np.arange(4), (2, 1))
    user = np.ones((2, D), "float32")
    return [numpy(h) for h in model.encode(sequences, masks, user, places, False)]


X = np.random.default_rng(0).normal(size=(2, 2, 4, D)).astype("float32")
MASK = np.array([[True] * 4, [True] * 2 + [False] * 2])


def test_products_on_both_sides_are_the_path_of_recommendation(model):
    """The encoder's weights exist once."""
    (alone,) = encode(model, [X[0]], [MASK])
    for side in encode(model, [X[0], X[0]], [MASK, MASK]):
        np.testing.assert_allclose(side, alone, atol=1e-6)


def test_causal_outputs_do_not_see_the_future():
    model = small_model(is_causal=True)
    edited = X[0].copy()
    edited[:, 2] *= -1
    before = encode(model, [X[0], X[1]], [MASK, MASK])
    after = encode(model, [edited, X[1]], [MASK, MASK])
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(one[:, :2], other[:, :2], atol=1e-6)
        assert not np.allclose(one[:, 2], other[:, 2], atol=1e-3)


def test_scores_are_products_and_the_share_is_kept_within(model):
    assert scores_are_products(model)
    assert [float(Between(0.1, 0.9)(ops.array(x))) for x in (-1.0, 0.3, 2.0)] == (
        pytest.approx([0.1, 0.3, 0.9])
    )
    share = small_model().product_share
    keras.optimizers.SGD(1.0).apply([ops.array(100.0)], [share])
    assert float(share) == pytest.approx(0.1)


def softplus(x):
    return np.log1p(np.exp(x))


@pytest.mark.parametrize("task", ["rec", "search"])
def test_the_original_loss_by_hand(task):
    """All places of users' last targets, every second row."""
    model, costs = small_model(original_loss=True), []
    assert all(block.is_causal for block in model.blocks)
    shares = [1.0] if task == "rec" else [0.3, 0.7]
    for row in (0, 2, 4):
        outputs, _, _ = numpy_of_row(model, task, row)
        positive, *negatives = INPUTS[task]["candidates"][row]
        number = len(outputs[0]) - 1
        following = [[item] for item in HISTORY["rec_items"][row, 1 : number + 1]]
        if task == "search":
            clicked = HISTORY["clicked_items"][row, :number]
            following = [own[own > 0] for own in clicked]
        windows = numpy_windows(number + 1)
        for t, items in enumerate([*following, [positive]]):
            if not len(items):
                continue
            costs.append(0.0)
            for share, h in zip(shares, outputs, strict=True):
                vector = h[t] * (2 if any(window[t] for window in windows) else 1)
                own, others = (
                    numpy(model.encode_items(np.array(ids))) @ vector
                    for ids in (items, negatives)
                )
                costs[-1] += share * (softplus(-own).mean() + softplus(others).sum())
    assert len(costs) > 5
    losses = model.losses_of(task, INPUTS)
    assert losses.keys() == {"sequence_loss", "session_loss"}
    assert float(losses["sequence_loss"]) == pytest.approx(np.mean(costs), rel=1e-4)


@pytest.mark.parametrize("is_static", [False, True])
def test_the_original_loss_of_groups_of_histories(monkeypatch, is_static):
    model = small_model(original_loss=True, session_loss_weight=0.0)
    tasks = model.tasks
    expected = [float(model.losses_of(t, INPUTS)["sequence_loss"]) for t in tasks]
    monkeypatch.setattr(UnifiedSSR, "has_static_shapes", is_static)
    groups = [(1, 4, 3), (1, 2, 1), (2, 1, 3), (1, 4, 1), (1, 1, 1)]
    inputs = batch(SPEC, random_histories(SPEC, SIZES), groups)
    result = [float(model.losses_of(t, inputs)["sequence_loss"]) for t in tasks]
    np.testing.assert_allclose(result, expected, rtol=1e-5)
