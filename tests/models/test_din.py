import keras
import numpy as np
import pytest
from support.batches import SPEC, batch, feature_tables, random_histories, take_rows
from support.layer_weights import numpy, randomize

from sar_tf.models import DIN, get

OPTIONS = {
    "embedding_dim": 4,
    "hidden_dim": 6,
    "attention_units": (5,),
    "prediction_units": (8, 4),
}
# (recommendations, searches) of each history; SPEC holds at most (4, 3).
SIZES = [(4, 3), (2, 1), (0, 3), (1, 2), (4, 0), (0, 0)]


def small_model(**options):
    return randomize(DIN(SPEC, feature_tables(SPEC), **{**OPTIONS, **options}))


def inputs_of(sizes=SIZES, **options):
    return batch(SPEC, random_histories(SPEC, sizes), **options)


def scores_of(model, inputs):
    return numpy(model.score("rec", inputs))


def with_arrays(inputs, part, **arrays):
    return {**inputs, part: {**inputs[part], **arrays}}


def statistics_of(model):
    """Moving averages by their path within the model."""
    return {
        variable.path.partition("/")[2]: numpy(variable)
        for variable in model.non_trainable_variables
        if "moving" in variable.name
    }


def test_registered_for_recommendation_only():
    assert get("din") is DIN
    assert DIN.tasks == ("rec",)
    assert small_model().needs == ("rec_items",)


def test_scores_of_a_history_by_hand():
    """A new model's Dice is s sigmoid(s), with alpha 0, mean 0 and variance 1."""
    model, inputs = small_model(), inputs_of()
    for dice in model.head.dices:
        dice.alpha.assign(np.zeros(dice.alpha.shape))
    items = numpy(model.encode_items(inputs["history"]["rec_items"][:1]))
    candidates = numpy(model.encode_items(inputs["rec"]["candidates"][:1]))
    u = numpy(model.activation_unit(items, candidates, np.ones((1, 4), bool)))
    x = np.concatenate([u, candidates, u * candidates], axis=-1)
    for dense in model.head.hidden:
        s = x @ numpy(dense.kernel) + numpy(dense.bias)
        x = s / (1 + np.exp(-s))
    logits = (x @ numpy(model.head.logit.kernel) + numpy(model.head.logit.bias))[..., 0]
    expected = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(scores_of(model, inputs)[:1], expected, rtol=1e-4)


def test_a_history_of_one_item_is_activated_by_one_weight():
    """u = a_1 h_1, a multiple of the item for every candidate."""
    model, inputs = small_model(), inputs_of([(1, 0)], num_candidates=5)
    encoded = model.encode_history(inputs["history"], training=False)
    target = {**model.encode_target(inputs["rec"]), "ids": inputs["rec"]}
    u = numpy(model.read("rec", encoded, target, training=False)["seen"])[0, :, :6]
    weights = u / numpy(encoded["items"])[0, 0]
    np.testing.assert_allclose(weights, weights[:, :1] * np.ones(6), rtol=1e-4)
    assert np.ptp(weights[:, 0]) > 1e-3


def test_history_order_does_not_matter():
    model, inputs = small_model(), inputs_of()
    items = inputs["history"]["rec_items"][:, ::-1]
    result = scores_of(model, with_arrays(inputs, "history", rec_items=items))
    np.testing.assert_allclose(result, scores_of(model, inputs), rtol=1e-5)


def test_an_empty_history_leaves_the_candidate():
    model, inputs = small_model(), inputs_of([(0, 0), (0, 3)])
    candidates = np.tile(inputs["rec"]["candidates"][:1], (2, 1))
    first, second = scores_of(model, with_arrays(inputs, "rec", candidates=candidates))
    np.testing.assert_array_equal(first, second)
    assert len(set(first.tolist())) == len(first)


def test_the_user_is_seen_where_asked_for():
    users = np.arange(1, 7, dtype="int32")
    for use_user in (False, True):
        model, inputs = small_model(use_user=use_user), inputs_of()
        assert ("user" in model.needs) == use_user
        changed = scores_of(model, with_arrays(inputs, "rec", user=users))
        unchanged = scores_of(model, with_arrays(inputs, "rec", user=users[::-1]))
        assert np.allclose(changed, unchanged) != use_user


@pytest.mark.parametrize("attention_activation", ["sigmoid", "dice"])
def test_rows_that_are_no_targets_are_not_in_the_statistics(attention_activation):
    """The statistics are those of the targets, whatever fills up the batch."""
    options = {"attention_activation": attention_activation}
    filled, alone = small_model(**options), small_model(**options)
    inputs = inputs_of()
    is_target = np.array([True, True, False, True, False, False])
    filled.losses_of("rec", with_arrays(inputs, "rec", is_target=is_target))
    alone.losses_of("rec", take_rows(inputs, is_target))
    for path, value in statistics_of(alone).items():
        np.testing.assert_allclose(value, statistics_of(filled)[path], rtol=1e-4)
        assert not np.allclose(value, np.round(value)), path


@pytest.mark.parametrize("groups", [None, [(2, 4, 3), (4, 4, 3)]])
def test_statistics_of_the_head_are_of_the_whole_batch(groups):
    """However the histories of the batch are laid out, and its rows ordered."""
    expected, model = small_model(), small_model()
    expected.losses_of("rec", inputs_of())
    inputs = inputs_of(groups=groups)
    model.losses_of("rec", take_rows(inputs, np.array([5, 3, 1, 0, 2, 4])))
    for path, value in statistics_of(expected).items():
        np.testing.assert_allclose(statistics_of(model)[path], value, rtol=1e-4)


def test_scoring_leaves_the_statistics_alone():
    model, inputs = small_model(), inputs_of()
    before = statistics_of(model)
    assert len(before) == 4
    scores_of(model, inputs)
    for path, value in statistics_of(model).items():
        np.testing.assert_array_equal(value, before[path])


def test_a_saved_model_has_the_statistics(tmp_path):
    model, inputs = small_model(), inputs_of()
    model.losses_of("rec", inputs)
    model.save(tmp_path / "din.keras")
    copy = keras.models.load_model(tmp_path / "din.keras")
    np.testing.assert_array_equal(scores_of(copy, inputs), scores_of(model, inputs))
    assert isinstance(copy, DIN)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"normalize": "sum"}, "normalize must be one of none, scale, softmax"),
        ({"attention_units": ()}, "units must name one hidden layer"),
        ({"attention_activation": "relu"}, "attention_activation must be one of"),
    ],
)
def test_what_is_unknown_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small_model(**options)
