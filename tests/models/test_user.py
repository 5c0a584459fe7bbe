import dataclasses

import numpy as np
import pytest
from support.batches import SPEC, batch, feature_tables, random_histories
from support.layer_weights import dense, numpy, randomize
from support.numpy_equations import attention
from support.search_case import changed, query_vectors

from sar_tf.models import USER, get
from sar_tf.training.transfer import take_weights

D, HEADS = 6, 2
OPTIONS = {
    "embedding_dim": 4,
    "hidden_dim": D,
    "num_heads": HEADS,
    "inner_units": 8,
    "dropout": 0.0,
    "session_length": 2,
}
# (recommendations, searches) of each history; SPEC holds at most (4, 3).
SIZES = [(4, 3), (2, 1), (0, 3), (1, 2), (4, 0), (0, 0)]
INPUTS = batch(SPEC, random_histories(SPEC, SIZES))
HISTORY = INPUTS["history"]


def small_model(**options):
    return randomize(USER(SPEC, feature_tables(SPEC), **{**OPTIONS, **options}))


@pytest.fixture(scope="module")
def model():
    return small_model()


def numpy_norm(norm, x):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return x * numpy(norm.gamma) + numpy(norm.beta)


def numpy_encoder(layer, x):
    """The full transformer layer over a set."""
    parts = [layer.query_dense, layer.key_dense, layer.value_dense]
    weights = {
        "in_proj_weight": np.concatenate([numpy(p.kernel).T for p in parts]),
        "in_proj_bias": np.concatenate([numpy(p.bias) for p in parts]),
        **dense(layer.output_dense, "out_proj"),
    }
    allowed = np.ones((len(x), len(x)), bool)
    x = numpy_norm(layer.attention_norm, x + attention(weights, x, x, allowed, HEADS))
    into, out = layer.feed_forward_in, layer.feed_forward_out
    hidden = np.maximum(x @ numpy(into.kernel) + numpy(into.bias), 0)
    update = hidden @ numpy(out.kernel) + numpy(out.bias)
    return numpy_norm(layer.feed_forward_norm, x + update)


def numpy_softmax(x):
    return np.exp(x) / np.exp(x).sum()


def numpy_search(model, words, clicked):
    words, clicked = words[words > 0], clicked[clicked > 0]
    if not len(clicked):
        row = words[None] if len(words) else np.zeros((1, 1), "int32")
        return numpy(model.encode_queries(row))[0]
    x = numpy(model.encode_queries(words[:, None])) if len(words) else np.zeros((0, D))
    c = numpy(model.encode_items(clicked))
    affinity = np.tanh(x @ numpy(model.co_attention.affinity_kernel) @ c.T)
    word_mean = numpy_softmax(affinity.sum(1)) @ x if len(x) else np.zeros(D)
    item_mean = numpy_softmax(affinity.sum(0)) @ c
    layer = model.co_attention.dense
    both = np.concatenate([word_mean, item_mean])
    return both @ numpy(layer.kernel) + numpy(layer.bias)


def numpy_sessions(model, row):
    """The behaviors of each session, the target's own, which may be empty, first."""
    items = HISTORY["rec_items"][row]
    positions = HISTORY["rec_positions"][row, items > 0]
    vectors = numpy(model.encode_items(items[items > 0]))
    found = dict(zip(positions, vectors, strict=True))
    sessions = HISTORY["rec_sessions"][row, items > 0]
    of_position = dict(zip(positions, sessions, strict=True))
    for slot in np.flatnonzero(HISTORY["search_mask"][row]):
        position = HISTORY["search_positions"][row, slot]
        of_position[position] = HISTORY["search_sessions"][row, slot]
        found[position] = numpy_search(
            model,
            HISTORY["search_words"][row, slot],
            HISTORY["clicked_items"][row, slot],
        )
    if model.sessions == "pauses":
        numbers = range(max(of_position.values(), default=-1) + 1)
        return [[found[p] for p, s in of_position.items() if s == n] for n in numbers]
    ordered = [found[position] for position in sorted(found)][::-1]
    length = model.session_length
    return [ordered[i : i + length] for i in range(0, len(ordered), length)]


def cosine(a, b):
    return a @ b / np.sqrt((a @ a) * (b @ b))


def numpy_logits(model, task, row):
    asked = query_vectors(model) if task == "search" else None
    if task == "rec":
        asked = numpy(model.user_encoder(INPUTS["rec"]["user"]))
    current, *earlier = numpy_sessions(model, row) or [[]]
    x = np.stack([*current, asked[row]])
    for _ in range(2):
        x = numpy_encoder(model.session_encoder, x)
    q_s = x[-1]
    h = [numpy_encoder(model.session_encoder, np.stack(own)) for own in earlier if own]

    def last(vector):
        return numpy_encoder(model.history_encoder, np.concatenate([*h, vector[None]]))[
            -1
        ]

    logits = []
    for v in numpy(model.encode_items(INPUTS[task]["candidates"][row])):
        q_l, v_l = last(q_s), last(v)
        features = [cosine(a, b) for a in (q_s, q_l) for b in (v, v_l)]
        layer = model.score_dense
        logits.append(features @ numpy(layer.kernel)[:, 0] + numpy(layer.bias)[0])
    return logits


def test_registered_for_both_tasks():
    assert get("user") is USER
    assert USER.tasks == ("rec", "search")
    assert "query_words" not in small_model(tasks=("rec",)).needs
    assert "user" not in small_model(tasks=("search",)).needs


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("rec", {}),
        ("search", {}),
        ("rec", {"sessions": "number"}),
        ("search", {"sessions": "number", "session_length": 10}),
    ],
)
def test_scores_by_hand(task, options):
    """Each member of a session is encoded with the whole layer, as in the original."""
    model = small_model(**options)
    assert ("rec_sessions" in model.needs) == (model.sessions == "pauses")
    logits = [numpy_logits(model, task, row) for row in range(len(SIZES))]
    result = numpy(model.score(task, INPUTS))
    np.testing.assert_allclose(result, 1 / (1 + np.exp(-np.array(logits))), atol=1e-5)


def test_a_recommendation_ignores_a_query(model):
    query = np.full_like(INPUTS["search"]["query_words"], 3)
    inputs = changed(INPUTS, "rec", query_words=query, query=query[:, 0])
    np.testing.assert_array_equal(
        numpy(model.score("rec", inputs)), numpy(model.score("rec", INPUTS))
    )


def test_sessions_are_encoded_alone():
    """The first history has 7 behaviors: sessions of positions 5-6, 3-4, 1-2, 0."""
    assert HISTORY["rec_items"][0].all() and HISTORY["search_mask"][0].all()
    model = small_model(sessions="number")
    slot = int(np.flatnonzero(HISTORY["rec_positions"][0] < 5)[-1])
    position = HISTORY["rec_positions"][0, slot]
    items = HISTORY["rec_items"].copy()
    items[0, slot] = items[0, slot] % SPEC.num_items + 1
    edited = changed(INPUTS, "history", rec_items=items)["history"]
    before, after = (
        numpy(model.encode_history(history, training=False)["outputs"])[0]
        for history in (HISTORY, edited)
    )
    positions = np.concatenate(
        [HISTORY["rec_positions"][0], HISTORY["search_positions"][0]]
    )
    is_same = (6 - positions) // 2 == (6 - position) // 2
    np.testing.assert_allclose(after[~is_same], before[~is_same], atol=1e-6)
    assert np.abs(after[is_same] - before[is_same]).max(axis=1).min() > 1e-4


@pytest.mark.parametrize("task", ["rec", "search"])
def test_a_copy_scores_as_the_first_stage_did(model, task):
    copy = small_model(tasks=(task,))
    assert not take_weights(copy, model).new
    inputs = {part: INPUTS[part] for part in ("history", task)}
    np.testing.assert_allclose(
        numpy(copy.score(task, inputs)), numpy(model.score(task, inputs)), atol=1e-6
    )


def test_the_original_loss_is_a_softmax_over_the_candidates(model):
    original = small_model(original_loss=True)
    scores = numpy(original.score("search", INPUTS))
    np.testing.assert_array_equal(scores, numpy(model.score("search", INPUTS)))
    odds = scores / (1 - scores)
    expected = -np.mean(np.log(odds[:, 0] / odds.sum(1)))
    result = float(original.losses_of("search", INPUTS)["click_loss"])
    assert result == pytest.approx(expected, rel=1e-4)


def test_it_needs_words():
    spec = dataclasses.replace(SPEC, num_words=0, caption_length=0)
    with pytest.raises(ValueError, match="USER reads the words of queries"):
        USER(spec, feature_tables(spec), **OPTIONS)
