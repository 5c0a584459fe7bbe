import dataclasses

import numpy as np
import pytest
from support.batches import SPEC, batch, feature_tables, random_histories
from support.layer_weights import numpy, randomize
from support.search_case import changed

from sar_tf.models import QuerySeqRec, SASRec, get
from sar_tf.training.transfer import take_weights

D = 6
OPTIONS = {"embedding_dim": 4, "hidden_dim": D, "num_heads": 2, "dropout": 0.0}
# (recommendations, searches) of each history; SPEC holds at most (4, 3).
SIZES = [(4, 3), (2, 1), (0, 3), (1, 2), (4, 0), (0, 0)]
INPUTS = batch(SPEC, random_histories(SPEC, SIZES))
HISTORY = INPUTS["history"]


def small_model(**options):
    model = QuerySeqRec(SPEC, feature_tables(SPEC), **{**OPTIONS, **options})
    return randomize(model)


@pytest.fixture(scope="module")
def model():
    return small_model()


def numpy_tokens(model, row):
    """The vectors of a history's tokens in time order, without places."""
    is_item, is_query = numpy(model.type_embedding.embeddings)
    found = {}
    for slot in np.flatnonzero(HISTORY["rec_items"][row]):
        item = HISTORY["rec_items"][row, slot : slot + 1]
        vectors = numpy(model.encode_items(item)) + is_item
        found[HISTORY["rec_positions"][row, slot]] = list(vectors)
    for slot in np.flatnonzero(HISTORY["search_mask"][row]):
        words = HISTORY["search_words"][row, slot : slot + 1]
        clicked = HISTORY["clicked_items"][row, slot]
        clicked = numpy(model.encode_items(clicked[clicked > 0]))
        vectors = [*(numpy(model.encode_queries(words)) + is_query)]
        vectors += [*(clicked + is_item)]
        found[HISTORY["search_positions"][row, slot]] = vectors
    return [vector for position in sorted(found) for vector in found[position]]


def numpy_norm(norm, x):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-8)
    return x * numpy(norm.gamma) + numpy(norm.beta)


def numpy_block(block, x):
    own = numpy_norm(block.query_norm, x)
    parts = block.attention
    q, k, v = (
        one @ numpy(dense.kernel) + numpy(dense.bias)
        for one, dense in (
            (own, parts.query_dense),
            (x, parts.key_dense),
            (x, parts.value_dense),
        )
    )
    mixed = np.zeros(x.shape)
    for t in range(len(x)):
        for head in (slice(0, 3), slice(3, 6)):
            logits = k[: t + 1, head] @ q[t, head] / np.sqrt(3)
            weights = np.exp(logits) / np.exp(logits).sum()
            mixed[t, head] = weights @ v[: t + 1, head]
    is_sasrec = block.variant == "sasrec"
    y = numpy_norm(block.feed_forward_norm, mixed + own if is_sasrec else mixed)
    into, out = block.feed_forward_in, block.feed_forward_out
    hidden = np.maximum(y @ numpy(into.kernel) + numpy(into.bias), 0)
    update = hidden @ numpy(out.kernel) + numpy(out.bias)
    return (1 if is_sasrec else 2) * y + update


def test_registered_for_recommendation():
    assert get("query_seqrec") is QuerySeqRec
    assert QuerySeqRec.tasks == ("rec",)


@pytest.mark.parametrize("block", ["sasrec", "query_seqrec"])
@pytest.mark.parametrize("max_tokens", [4, 13])
def test_scores_by_hand(block, max_tokens):
    model = small_model(block=block, max_tokens=max_tokens)
    places = numpy(model.position_embedding.embeddings)
    logits = []
    for row in range(len(SIZES)):
        tokens = numpy_tokens(model, row)[-max_tokens:]
        vector = np.zeros(D)
        if tokens:
            x = np.stack(tokens) + places[: len(tokens)]
            for own in model.blocks:
                x = numpy_block(own, x)
            vector = numpy_norm(model.norm, x[-1])
        candidates = INPUTS["rec"]["candidates"][row]
        logits.append(numpy(model.encode_items(candidates)) @ vector)
    result = numpy(model.score("rec", INPUTS))
    np.testing.assert_allclose(result, 1 / (1 + np.exp(-np.array(logits))), atol=1e-4)


def test_a_token_does_not_see_later_ones(model):
    x, mask = (numpy(part) for part in model.read_tokens(HISTORY))
    edited = x.copy()
    edited[:, 3] *= -1
    before, after = (
        numpy(model.encode(one, mask, training=False)) for one in (x, edited)
    )
    np.testing.assert_allclose(after[:, :3], before[:, :3], atol=1e-6)
    is_there = mask[:, 3]
    assert np.abs(after[is_there, 3:] - before[is_there, 3:]).max() > 1e-2


def test_the_last_token_may_be_a_query():
    """The newest behavior of a history: a search without clicks."""
    histories = [[("rec", 3), ("search", [4, 5], [])], [("rec", 3)]]
    inputs = batch(SPEC, histories)
    model = small_model()
    scores = numpy(model.score("rec", inputs))
    words = inputs["history"]["search_words"].copy()
    words[0, 0, 0] = 9
    edited = numpy(model.score("rec", changed(inputs, "history", search_words=words)))
    assert np.abs(edited[0] - scores[0]).max() > 1e-4
    np.testing.assert_array_equal(edited[1], scores[1])


@pytest.mark.parametrize("row", [0, 1])
def test_without_searches_it_is_sasrec(row):
    """SASRec's places count from the newest item, these from the oldest one."""
    sizes = [(4, 0), (2, 0)]
    inputs = batch(SPEC, random_histories(SPEC, sizes))
    model = small_model(max_tokens=4)
    sasrec = randomize(SASRec(SPEC, feature_tables(SPEC), **OPTIONS), seed=1)
    left = {"type_embedding/embeddings", "position_embedding/embeddings"}
    assert left.issuperset(take_weights(model, sasrec).new)
    length = sizes[row][0]
    places = np.zeros((4, D), "float32")
    recency = numpy(sasrec.positions.embedding.embeddings)
    places[:length] = recency[:length][::-1]
    model.position_embedding.embeddings.assign(places)
    model.type_embedding.embeddings.assign(np.zeros((2, D), "float32"))
    np.testing.assert_allclose(
        numpy(model.score("rec", inputs))[row],
        numpy(sasrec.score("rec", inputs))[row],
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("replaced", "graph"), [(0.0, 0.5), (1.0, 1.0), (1.0, 0.0), (0.5, 0.5)]
)
def test_what_training_replaces(replaced, graph):
    model = small_model()
    model.replaced_share, model.graph_share = replaced, graph
    inputs = INPUTS["rec"]
    found = {n: numpy(x) for n, x in model.replace(HISTORY, inputs).items()}
    for name in HISTORY.keys() - {"clicked_items", "search_words"}:
        np.testing.assert_array_equal(found[name], HISTORY[name])
    clicked, items = HISTORY["clicked_items"], found["clicked_items"]
    np.testing.assert_array_equal(items > 0, clicked > 0)
    other = inputs["other_clicked_items"]
    words, others, chance = (
        HISTORY["search_words"],
        inputs["other_search_words"],
        inputs["random_search_words"],
    )
    if not replaced:
        expected = clicked, words
    elif graph == 1:
        has_words = others.any(-1, keepdims=True)
        expected = (
            np.where(other > 0, other, clicked),
            np.where(has_words, others, words),
        )
    elif not graph:
        has_words = chance.any(-1, keepdims=True)
        assert items.max() <= SPEC.num_items and (items != clicked).sum() > 3
        expected = items, np.where(has_words, chance, words)
    else:
        is_there = clicked > 0
        assert 0 < (items == clicked)[is_there].mean() < 1
        rows = [(words == found["search_words"]).all(-1)]
        assert 0 < np.mean(rows) < 1
        return
    np.testing.assert_array_equal(items, expected[0])
    np.testing.assert_array_equal(found["search_words"], expected[1])


def test_only_training_replaces(model):
    assert set(model.encode_history(HISTORY, training=False)) == {"vector"}
    plain = small_model(replaced_share=0.0)
    assert set(plain.needs) == set(QuerySeqRec.needs)
    vectors = [
        numpy(plain.encode_history(HISTORY, training)["vector"])
        for training in (False, True)
    ]
    np.testing.assert_allclose(*vectors, atol=1e-6)


def numpy_ids(row):
    """The item of each token in time order, 0 of a query."""
    found = {}
    items, positions = HISTORY["rec_items"][row], HISTORY["rec_positions"][row]
    for slot in np.flatnonzero(items):
        found[positions[slot]] = [items[slot]]
    for slot in np.flatnonzero(HISTORY["search_mask"][row]):
        clicked = HISTORY["clicked_items"][row, slot]
        found[HISTORY["search_positions"][row, slot]] = [0, *clicked[clicked > 0]]
    return [item for position in sorted(found) for item in found[position]]


@pytest.mark.parametrize("max_tokens", [4, 13])
def test_the_original_loss_asks_for_each_next_item_among_all(max_tokens):
    """Of users' last targets, every second row; no item follows a query's place."""
    model = small_model(original_loss=True, max_tokens=max_tokens, replaced_share=0.0)
    places = numpy(model.position_embedding.embeddings)
    every = numpy(model.encode_items(np.arange(1, SPEC.num_items + 1)))
    costs = []
    for row in (0, 2, 4):
        tokens = numpy_tokens(model, row)[-max_tokens:]
        following = [
            *numpy_ids(row)[-max_tokens:][1:],
            INPUTS["rec"]["candidates"][row, 0],
        ]
        x = np.stack(tokens) + places[: len(tokens)]
        for own in model.blocks:
            x = numpy_block(own, x)
        for vector, item in zip(numpy_norm(model.norm, x), following, strict=True):
            if item:
                logits = every @ vector
                costs.append(np.log(np.exp(logits).sum()) - logits[item - 1])
    assert len(costs) > 6
    losses = model.losses_of("rec", INPUTS)
    assert losses.keys() == {"sequence_loss"}
    assert float(losses["sequence_loss"]) == pytest.approx(np.mean(costs), rel=1e-4)


@pytest.mark.parametrize("is_static", [False, True])
def test_the_original_loss_of_groups_of_histories(monkeypatch, is_static):
    """As wide as each group needs; also where XLA wants static shapes."""
    model = small_model(original_loss=True, replaced_share=0.0)
    expected = float(model.losses_of("rec", INPUTS)["sequence_loss"])
    monkeypatch.setattr(QuerySeqRec, "has_static_shapes", is_static)
    groups = [(1, 4, 3), (1, 2, 1), (2, 1, 3), (1, 4, 1), (1, 1, 1)]
    inputs = batch(SPEC, random_histories(SPEC, SIZES), groups)
    result = float(model.losses_of("rec", inputs)["sequence_loss"])
    assert result == pytest.approx(expected, rel=1e-5)


def test_replaced_items_are_asked_for_as_they_were(monkeypatch):
    model = small_model(original_loss=True, replaced_share=0.5)
    assert "other_clicked_items" in model.needs and "is_last" in model.needs
    expected = numpy_ids(0)
    target = np.full(len(SIZES), 7)
    monkeypatch.setattr(QuerySeqRec, "has_static_shapes", True)
    inputs = {**model.encode_target(INPUTS["rec"]), "ids": INPUTS["rec"]}
    rows = model.read("rec", HISTORY, inputs, training=True)
    width = numpy(model.next_items(HISTORY, target)).shape[1]
    found = numpy(rows["following"])[:width]
    own = [*expected[1:], INPUTS["rec"]["candidates"][0, 0]]
    np.testing.assert_array_equal(found, np.pad(own, (0, width - len(own))))


def test_it_needs_words():
    spec = dataclasses.replace(SPEC, num_words=0, caption_length=0)
    with pytest.raises(ValueError, match="Query-SeqRec reads the words of queries"):
        QuerySeqRec(spec, feature_tables(spec), **OPTIONS)
