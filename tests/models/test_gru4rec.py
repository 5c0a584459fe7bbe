import numpy as np
import pytest
from support.batches import SPEC, batch, feature_tables, random_histories
from support.layer_weights import numpy, randomize

from sar_tf.models import GRU4Rec, get

OPTIONS = {"embedding_dim": 4, "hidden_dim": 6, "gru_units": 5, "dropout": 0.0}
# (recommendations, searches) of each history; SPEC holds at most (4, 3).
SIZES = [(4, 3), (2, 1), (0, 3), (1, 2), (4, 0), (0, 0)]
INPUTS = batch(SPEC, random_histories(SPEC, SIZES))
ITEMS = INPUTS["history"]["rec_items"]


def small_model(**options):
    return randomize(GRU4Rec(SPEC, feature_tables(SPEC), **{**OPTIONS, **options}))


@pytest.fixture(scope="module")
def model():
    return small_model()


def encoded_of(model, items):
    return numpy(model.encode_history({"rec_items": items}, training=False)["vector"])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numpy_step(gru, x, state):
    """z keeps the old state; r acts behind the recurrent product, which has a bias."""
    weights = gru.cell.kernel, gru.cell.recurrent_kernel
    kernel, recurrent = (np.split(numpy(w), 3, axis=1) for w in weights)
    bias, recurrent_bias = (np.split(b, 3) for b in numpy(gru.cell.bias))
    of_x = [x @ w + b for w, b in zip(kernel, bias, strict=True)]
    of_s = [state @ w + b for w, b in zip(recurrent, recurrent_bias, strict=True)]
    z, r = (sigmoid(of_x[i] + of_s[i]) for i in range(2))
    return z * state + (1 - z) * np.tanh(of_x[2] + r * of_s[2])


def test_registered_for_recommendation_only():
    assert get("gru4rec") is GRU4Rec
    assert (GRU4Rec.tasks, GRU4Rec.needs) == (("rec",), ("rec_items",))


@pytest.mark.parametrize("num_layers", [1, 2])
def test_the_vector_is_of_the_last_items_state(num_layers):
    """Step by step; a history of one item is one step from a state of zeros."""
    model = small_model(num_layers=num_layers)
    result = encoded_of(model, ITEMS)
    output = numpy(model.output_dense.kernel), numpy(model.output_dense.bias)
    for row, (length, _) in enumerate(SIZES):
        states = numpy(model.encode_items(ITEMS[row, :length]))
        for gru in model.grus:
            inputs, states, state = states, [], np.zeros(5)
            for x in inputs:
                state = numpy_step(gru, x, state)
                states.append(state)
        last = states[-1] if length else np.zeros(5)
        expected = last @ output[0] + output[1]
        np.testing.assert_allclose(result[row], expected, rtol=1e-4, atol=1e-5)


def test_padding_behind_a_history_changes_nothing(model):
    wide = np.pad(ITEMS, ((0, 0), (0, 3)))
    np.testing.assert_allclose(
        encoded_of(model, wide), encoded_of(model, ITEMS), rtol=1e-6
    )


def test_order_matters(model):
    before = encoded_of(model, ITEMS[:1])
    assert not np.allclose(encoded_of(model, ITEMS[:1, ::-1]), before, atol=1e-3)


def test_scores_are_products(model):
    candidates = numpy(model.encode_items(INPUTS["rec"]["candidates"]))
    logits = np.einsum("bd,bcd->bc", encoded_of(model, ITEMS), candidates)
    result = numpy(model.score("rec", INPUTS))
    np.testing.assert_allclose(result, sigmoid(logits), rtol=1e-5)


def test_dropout_acts_in_training_only(model):
    dropped = small_model(dropout=0.5)
    expected = numpy(model.score("rec", INPUTS))
    np.testing.assert_array_equal(numpy(dropped.score("rec", INPUTS)), expected)
    losses = {float(dropped.losses_of("rec", INPUTS)["click_loss"]) for _ in range(3)}
    assert len(losses) == 3


def bpr(own, other):
    return -np.log(sigmoid(own - other))


def top1(own, other):
    return sigmoid(other - own) + sigmoid(other**2)


@pytest.mark.parametrize("cost", [bpr, top1])
def test_the_original_loss_compares_with_the_positives_of_other_rows(cost):
    """Not with those that are the row's own, nor with empty rows."""
    model = small_model(original_loss=True, pairwise_loss=cost.__name__)
    candidates = INPUTS["rec"]["candidates"].copy()
    candidates[:, 0] = [3, 8, 3, 5, 9, 0]
    is_target = np.array([True] * 5 + [False])
    own = {**INPUTS["rec"], "candidates": candidates, "is_target": is_target}
    scores = encoded_of(model, ITEMS) @ numpy(model.encode_items(candidates[:, 0])).T
    costs = []
    for i in range(5):
        others = [j for j in range(5) if candidates[j, 0] != candidates[i, 0]]
        costs.append(np.mean([cost(scores[i, i], scores[i, j]) for j in others]))
    result = float(model.losses_of("rec", {**INPUTS, "rec": own})["click_loss"])
    assert result == pytest.approx(np.mean(costs), rel=1e-5)
    plain = numpy(small_model().score("rec", INPUTS))
    np.testing.assert_array_equal(numpy(model.score("rec", INPUTS)), plain)
