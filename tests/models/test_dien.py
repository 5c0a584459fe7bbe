import numpy as np
import pytest
from support.batches import SPEC, batch, feature_tables, random_histories
from support.layer_weights import numpy, randomize

from sar_tf.models import DIEN, get

OPTIONS = {"embedding_dim": 4, "hidden_dim": 6, "prediction_units": (8, 4)}
# (recommendations, searches) of each history; SPEC holds at most (4, 3).
SIZES = [(4, 3), (2, 1), (0, 3), (1, 2), (4, 0), (0, 0)]


def small_model(**options):
    return randomize(DIEN(SPEC, feature_tables(SPEC), **{**OPTIONS, **options}))


def with_arrays(inputs, part, **arrays):
    return {**inputs, part: {**inputs[part], **arrays}}


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def inputs():
    return batch(SPEC, random_histories(SPEC, SIZES))


def states_of(model, inputs):
    return numpy(model.encode_history(inputs["history"], training=False)["states"])


def interests_of(model, inputs):
    """g of each candidate: `(B, C, D)`."""
    encoded = model.encode_history(inputs["history"], training=False)
    target = {**model.encode_target(inputs["rec"]), "ids": inputs["rec"]}
    return numpy(model.read("rec", encoded, target, training=False)["seen"])[..., :6]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_registered_for_recommendation_only(model):
    assert get("dien") is DIEN
    assert DIEN.tasks == ("rec",)
    assert model.needs == ("rec_items", "sequence_items", "sequence_negatives")
    assert model.loss_weights == {"auxiliary_loss": 1.0}


def test_attention_is_a_softmax_over_the_history(model, inputs):
    states = states_of(model, inputs)
    mask = inputs["history"]["rec_items"] > 0
    candidates = numpy(model.encode_items(inputs["rec"]["candidates"]))
    result = numpy(model.attention(states, candidates, mask))
    for row, (length, _) in enumerate(SIZES):
        asked = candidates[row] @ numpy(model.relevance.kernel)
        expected = np.exp(asked @ states[row, :length].T)
        expected = expected / expected.sum(1, keepdims=True)
        np.testing.assert_allclose(result[row, :, :length], expected, rtol=1e-4)
        np.testing.assert_array_equal(result[row, :, length:], 0)


def test_scores_of_a_history_by_hand(model, inputs):
    """A new model's Dice is s (alpha + (1 - alpha) sigmoid(s))."""
    g = interests_of(model, inputs)
    candidates = numpy(model.encode_items(inputs["rec"]["candidates"]))
    x = np.concatenate([g, candidates], axis=-1)
    for dense, dice in zip(model.head.hidden, model.head.dices, strict=True):
        s = x @ numpy(dense.kernel) + numpy(dense.bias)
        x = s * (numpy(dice.alpha) + (1 - numpy(dice.alpha)) * sigmoid(s))
    logits = (x @ numpy(model.head.logit.kernel))[..., 0] + numpy(model.head.logit.bias)
    result = numpy(model.score("rec", inputs))
    np.testing.assert_allclose(result, sigmoid(logits), rtol=1e-4)


def test_a_candidate_changes_its_interest_and_no_state(model, inputs):
    candidates = inputs["rec"]["candidates"].copy()
    candidates[:, 1] = candidates[:, 1] % SPEC.num_items + 1
    changed = with_arrays(inputs, "rec", candidates=candidates)
    np.testing.assert_array_equal(states_of(model, changed), states_of(model, inputs))
    one, other = interests_of(model, inputs), interests_of(model, changed)
    np.testing.assert_allclose(other[:, [0, 2]], one[:, [0, 2]], atol=1e-6)
    for row, (length, _) in enumerate(SIZES):
        # A single item has weight 1 whatever the candidate.
        assert np.allclose(other[row, 1], one[row, 1], atol=1e-6) == (length < 2)


def test_an_empty_history_has_no_interest(model, inputs):
    g = interests_of(model, inputs)
    for row, (length, _) in enumerate(SIZES):
        assert g[row].any() == (length > 0)


def test_the_auxiliary_loss_by_hand(model, inputs):
    """Each state tells the next item from the drawn one, pair by pair."""
    costs = []
    sequences = inputs["rec"]["sequence_items"], inputs["rec"]["sequence_negatives"]
    for items, drawn in zip(*sequences, strict=True):
        length = np.count_nonzero(items)
        states = states_of(model, {"history": {"rec_items": items[None]}})[0]
        h, n = (numpy(model.encode_items(x[None]))[0] for x in (items, drawn))
        for t in range(length - 1):
            costs.append(-np.log(sigmoid(states[t] @ h[t + 1])))
            costs[-1] -= np.log(1 - sigmoid(states[t] @ n[t + 1]))
    assert len(costs) == 8
    result = float(model.losses_of("rec", inputs)["auxiliary_loss"])
    assert result == pytest.approx(np.mean(costs), rel=1e-4)


def network(layers, x):
    """Dense layers with sigmoid behind all but the last one."""
    for dense in layers[:-1]:
        x = sigmoid(x @ numpy(dense.kernel) + numpy(dense.bias))
    return (x @ numpy(layers[-1].kernel) + numpy(layers[-1].bias))[..., 0]


@pytest.mark.parametrize("number", [3, 25])
def test_the_attention_by_a_network(inputs, number):
    """Also of more candidates than are scored together."""
    model = small_model(attention_units=(5,))
    states, mask = states_of(model, inputs), inputs["history"]["rec_items"] > 0
    ids = np.resize(inputs["rec"]["candidates"], (len(SIZES), number))
    candidates = numpy(model.encode_items(ids))
    result = numpy(model.attention(states, candidates, mask))
    unit = model.activation_unit
    for row, (length, _) in enumerate(SIZES):
        s, v = states[row, None, :length], candidates[row, :, None]
        s, v = np.broadcast_arrays(s, v)
        pairs = np.concatenate([v, s, v - s, v * s], axis=-1)
        logits = network([*unit.denses, unit.weight_dense], pairs) / np.sqrt(6)
        expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        np.testing.assert_allclose(result[row, :, :length], expected, rtol=1e-4)
        np.testing.assert_array_equal(result[row, :, length:], 0)


def test_the_auxiliary_loss_by_a_network(inputs):
    model = small_model(auxiliary_units=(5, 4))
    items = np.array([[3, 8, 0, 0, 0]], "int32")
    drawn = np.array([[4, 6, 0, 0, 0]], "int32")
    state = states_of(model, {"history": {"rec_items": items}})[0, 0]
    to_next, to_drawn = (
        network(model.comparison.denses, np.concatenate([state, vector]))
        for vector in numpy(model.encode_items(np.array([8, 6])))
    )
    own = with_arrays(inputs, "rec", sequence_items=items, sequence_negatives=drawn)
    result = float(model.losses_of("rec", own)["auxiliary_loss"])
    expected = -np.log(sigmoid(to_next)) - np.log(1 - sigmoid(to_drawn))
    assert result == pytest.approx(expected, rel=1e-4)


def test_the_auxiliary_loss_does_not_see_the_candidates(model, inputs):
    candidates = np.roll(inputs["rec"]["candidates"], 1, axis=0)
    changed = with_arrays(inputs, "rec", candidates=candidates)
    one, other = (model.losses_of("rec", x) for x in (inputs, changed))
    assert float(one["auxiliary_loss"]) == float(other["auxiliary_loss"])
    assert float(one["click_loss"]) != float(other["click_loss"])


def test_a_sequence_of_one_item_has_no_pair(model, inputs):
    items = np.array([[3, 0, 0, 0, 0], [0, 0, 0, 0, 0]], "int32")
    own = with_arrays(inputs, "rec", sequence_items=items, sequence_negatives=items)
    assert float(model.losses_of("rec", own)["auxiliary_loss"]) == 0


def test_without_its_weight_there_is_no_auxiliary_loss(inputs):
    model = small_model(auxiliary_weight=0.0)
    assert model.needs == ("rec_items",)
    assert model.losses_of("rec", inputs).keys() == {"click_loss"}


def test_the_user_is_seen_where_asked_for(inputs):
    for use_user in (False, True):
        model = small_model(use_user=use_user)
        assert ("user" in model.needs) == use_user
        users = inputs["rec"]["user"] % SPEC.num_users + 1
        changed = model.score("rec", with_arrays(inputs, "rec", user=users))
        unchanged = numpy(model.score("rec", inputs))
        assert np.allclose(numpy(changed), unchanged) != use_user
