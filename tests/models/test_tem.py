import keras
import numpy as np
import pytest
from support.layer_weights import numpy
from support.search_case import (
    INPUTS,
    SIZES,
    WIDTH,
    changed,
    clicked_row,
    dot_logits,
    item_vectors,
    logits_of,
    query_vectors,
    small_model,
)

from sar_tf.layers.pre_norm import sinusoids
from sar_tf.models import TEM, get

OPTIONS = {"inner_units": 8, "num_heads": 2, "dropout": 0.0}


def tem(**options):
    return small_model(TEM, **{**OPTIONS, **options})


def norm(layer, x):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return x * numpy(layer.gamma) + numpy(layer.beta)


def dense(layer, x):
    return x @ numpy(layer.kernel) + numpy(layer.bias)


def numpy_attention(layer, x):
    """Every slot of x sees every other, in two heads."""
    kernel, bias = numpy(layer.qkv_kernel), numpy(layer.qkv_bias)
    q, k, v = np.split(x @ kernel + bias, 3, axis=1)
    context = []
    for part in (slice(0, 3), slice(3, 6)):
        weights = np.exp(q[:, part] @ k[:, part].T / np.sqrt(3))
        context.append(weights / weights.sum(1, keepdims=True) @ v[:, part])
    return dense(layer.output_dense, np.concatenate(context, axis=1))


def numpy_intent(model, query, items):
    """M of one query and its items, without padding."""
    x = np.concatenate([query[None], items.reshape(-1, WIDTH)])
    if model.positions is not None:
        x = x + sinusoids(len(x), WIDTH)
    for index, block in enumerate(model.blocks):
        x = x + numpy_attention(
            block.attention, norm(block.mix_norm, x) if index else x
        )
        s = dense(block.feed_forward_in, norm(block.feed_forward_norm, x))
        gelu = 0.5 * s * (1 + np.tanh(np.sqrt(2 / np.pi) * (s + 0.044715 * s**3)))
        x = x + dense(block.feed_forward_out, gelu)
    return norm(model.norm, x)[0]


def intents_of(model, inputs=INPUTS):
    queries = query_vectors(model, inputs)
    return np.stack(
        [
            numpy_intent(model, query, item_vectors(model, clicked_row(row, inputs)))
            for row, query in enumerate(queries)
        ]
    )


def test_registered_for_search_only():
    assert get("tem") is TEM
    model = tem()
    assert (TEM.tasks, model.needs) == (("search",), ("query_words", "clicked_items"))
    assert not model.loss_weights


@pytest.mark.parametrize("options", [{}, {"use_positions": False}, {"num_blocks": 2}])
def test_scores_by_hand(options):
    """One block reads its input as it is, a second one normalized."""
    model = tem(**options)
    expected = dot_logits(model, intents_of(model))
    np.testing.assert_allclose(logits_of(model), expected, atol=2e-3)


def test_an_empty_history_leaves_a_function_of_the_query():
    model = tem()
    empty = changed(INPUTS, "history", clicked_items=np.zeros((6, 3, 2), "int32"))
    words = np.tile(INPUTS["search"]["query_words"][:1], (6, 1))
    candidates = np.tile([[3, 8, 5]], (6, 1)).astype("int32")
    same = changed(empty, "search", query_words=words, candidates=candidates)
    scores = logits_of(model, same)
    assert np.all(np.isfinite(scores))
    np.testing.assert_allclose(scores, scores[:1].repeat(6, 0), atol=1e-4)


def reversed_histories():
    clicked = np.zeros((len(SIZES), 3, 2), "int32")
    other = clicked.copy()
    clicked[:, :, 0], other[:, :, 0] = [5, 9, 2], [2, 9, 5]
    return [changed(INPUTS, "history", clicked_items=x) for x in (clicked, other)]


@pytest.mark.parametrize("use_positions", [False, True])
def test_the_order_of_items_matters_where_positions_do(use_positions):
    model = tem(use_positions=use_positions)
    one, other = (logits_of(model, inputs) for inputs in reversed_histories())
    assert np.allclose(one, other, atol=1e-3) != use_positions


def test_the_query_changes_the_intent_of_the_same_items():
    model = tem()
    inputs = reversed_histories()[0]
    words = np.roll(INPUTS["search"]["query_words"], 1, axis=0)
    candidates = np.tile([[3, 8, 5]], (6, 1)).astype("int32")
    inputs = changed(inputs, "search", candidates=candidates)
    one = logits_of(model, inputs)
    other = logits_of(model, changed(inputs, "search", query_words=words))
    assert np.abs(one - other).max() > 0.1


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="num_heads=4 does not divide the width 6"):
        tem(num_heads=4)


def test_dropout_in_training_alone():
    keras.utils.set_random_seed(1)
    model = tem(dropout=0.5)
    losses = [float(model.losses_of("search", INPUTS)["click_loss"]) for _ in range(2)]
    assert losses[0] != losses[1]
    np.testing.assert_array_equal(logits_of(model), logits_of(model))
