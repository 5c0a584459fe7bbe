import dataclasses
import functools

import numpy as np
import pytest
from support.batches import SPEC, batch, feature_tables, random_histories, take_rows
from support.gradients import gradients
from support.layer_weights import numpy, randomize

from sar_tf.models import SRJGraph, get
from sar_tf.models.catalogue import prepare_targets, score_items

OPTIONS = {"embedding_dim": 4, "hidden_dim": 6, "prediction_units": (8, 4)}
INPUTS = batch(SPEC, random_histories(SPEC, [(1, 1)] * 6))
TASKS = ["rec", "search"]


def small_model(**options):
    return randomize(SRJGraph(SPEC, feature_tables(SPEC), **OPTIONS, **options))


def changed(task, **arrays):
    return {**INPUTS, task: {**INPUTS[task], **arrays}}


def query_vector(model, query):
    if not query:
        return numpy(model.no_query)
    words = feature_tables(SPEC)["training"]["query_words"][[query]]
    return numpy(model.encode_queries(words))[0]


def vectors_of(model):
    """A function of the id each, for users, items and queries of edges."""
    users = numpy(model.user_encoder(np.arange(SPEC.num_users + 1)))
    items = numpy(model.encode_items(np.arange(SPEC.num_items + 1)))
    queries = np.array([query_vector(model, q) for q in range(SPEC.num_queries + 1)])
    return users, items, queries


def attend(layer, target, own, keys):
    """One node, with the keys that are there at their places: (D,)."""
    whole = np.zeros((1, layer.max_neighbors, len(own)), "float32")
    mask = np.zeros(whole.shape[:2], bool)
    for place, key in keys:
        whole[0, place], mask[0, place] = key, True
    asked, own = target[None, None], own[None, None]
    return numpy(layer(asked, own, np.split(whole, 3, axis=-1), mask))[0, 0]


def seen_by_numpy(model, task, row, column):
    """`[e_u ; e_i ; e_q ; a_u ; a_i]` of one candidate."""
    users, items, queries = vectors_of(model)
    ids = {n: x[row] for n, x in INPUTS[task].items() if n in model.needs}
    u, i = users[ids["user"]], items[INPUTS[task]["candidates"][row, column]]
    q = numpy(model.no_query)
    if task == "search":
        q = numpy(model.encode_queries(ids["query_words"][None]))[0]
    target = np.concatenate([u, q, i])

    def leaves(user, clicked, asked):
        return [
            (place, np.concatenate([user, queries[query], items[item]]))
            for place, (item, query) in enumerate(zip(clicked, asked, strict=True))
            if item
        ]

    of_user = leaves(u, ids["neighbor_items"], ids["neighbor_queries"])
    of_user = attend(model.of_users, target, target, of_user)
    other = ids["candidate_users"][column]
    keys = []
    if other:
        edge = queries[ids["candidate_user_queries"][column]]
        own = np.concatenate([users[other], edge, i])
        second = leaves(
            users[other], ids["second_items"][column], ids["second_queries"][column]
        )
        keys = [(0, attend(model.of_users, target, own, second))]
    of_item = attend(model.of_items, target, target, keys)
    return np.concatenate([u, i, q, of_user, of_item])


@pytest.mark.parametrize("task", TASKS)
def test_what_is_seen_by_the_equations(task):
    model = small_model()
    inputs = INPUTS[task]
    target = {**model.encode_target(inputs), "ids": inputs}
    seen = numpy(model.read(task, {}, target, training=False)["seen"])
    assert (inputs["candidate_users"] == 0).any()
    for row, column in [
        *np.ndindex(3, 2),
        *np.argwhere(inputs["candidate_users"] == 0),
    ]:
        expected = seen_by_numpy(model, task, row, column)
        np.testing.assert_allclose(seen[row, column], expected, atol=1e-4)


@pytest.mark.parametrize("task", TASKS)
def test_logits_by_norm_and_network(task):
    model = small_model()
    norm, head = model.norms[task], model.heads[task]
    norm.moving_mean.assign(np.linspace(-1, 1, 54))
    x = np.random.default_rng(0).normal(size=(2, 3, 54)).astype("float32")
    rows = {"seen": x, "is_target": np.ones(2, bool)}
    scaled = (x - numpy(norm.moving_mean)) / np.sqrt(1.001)
    hidden = scaled * numpy(norm.gamma) + numpy(norm.beta)
    for dense, dice in zip(head.hidden, head.dices, strict=True):
        hidden = numpy(dice(hidden @ numpy(dense.kernel) + numpy(dense.bias)))
    assert not head.logit.use_bias
    expected = (hidden @ numpy(head.logit.kernel))[..., 0]
    np.testing.assert_allclose(
        numpy(model.logits(task, rows, training=False)), expected, atol=1e-4
    )


@pytest.mark.parametrize(("task", "other"), [("rec", "search"), ("search", "rec")])
def test_a_task_moves_its_own_head_alone(task, other):
    model = small_model()

    def is_moved(*layers):
        result = gradients(
            lambda: model.losses_of(task, INPUTS)["click_loss"],
            [v for layer in layers for v in layer.trainable_variables],
        )
        return any(gradient.any() for gradient in result)

    assert not is_moved(model.heads[other], model.norms[other])
    assert is_moved(model.heads[task])
    assert is_moved(model.norms[task])
    assert is_moved(model.of_items)
    assert is_moved(model.item_encoder.id_embedding)


@pytest.mark.parametrize("task", TASKS)
def test_a_cold_user_and_a_cold_item_have_finite_scores_and_gradients(task):
    nothing = {
        n: np.zeros_like(INPUTS[task][n]) for n in SRJGraph.needs if n != "query_words"
    }
    cold, model = (
        changed(task, **{n: x for n, x in nothing.items() if n in INPUTS[task]}),
        small_model(),
    )
    assert np.isfinite(numpy(model.score(task, cold))).all()
    result = gradients(
        lambda: model.losses_of(task, cold)["click_loss"], model.trainable_variables
    )
    assert all(np.isfinite(gradient).all() for gradient in result)


@pytest.mark.parametrize("task", TASKS)
def test_a_served_model_reads_its_own_tables(task):
    model = small_model()
    tables = feature_tables(SPEC)["training"]
    ids = INPUTS[task]
    others = tables["item_users"][ids["candidates"]][..., 0]
    known = {
        "neighbor_items": tables["user_items"][ids["user"]],
        "neighbor_queries": tables["user_queries"][ids["user"]],
        "candidate_users": others,
        "candidate_user_queries": tables["item_user_queries"][ids["candidates"]][
            ..., 0
        ],
        "second_items": tables["user_items"][others],
        "second_queries": tables["user_queries"][others],
    }
    expected = numpy(model.score(task, changed(task, **known)))
    served = {task: {n: x for n, x in ids.items() if n not in known}}
    np.testing.assert_allclose(numpy(model.score(task, served)), expected, atol=1e-6)
    with pytest.raises(ValueError, match="has no second_items: make the data"):
        model.losses_of(task, served)
    items = np.arange(1, 5, dtype="int32")
    found = score_items(
        model,
        task,
        prepare_targets(model, task, changed(task, **known)),
        model.encode_candidates(items),
    )
    served[task]["candidates"] = np.tile(items, (6, 1))
    expected = numpy(model.score(task, served))
    np.testing.assert_allclose(numpy(found), expected, atol=1e-6)


@functools.cache
def filtered_model():
    return small_model(category="category")


def of_category(clicks, candidates):
    """The clicks on items of the candidates' known categories; 0 for the others."""
    category = feature_tables(SPEC)["item"]["category"]
    same = (category[clicks] == category[candidates]) & (category[candidates] > 0)
    return clicks * same


def column_without_others(task, column):
    """The targets with one candidate each, and with clicks of its category alone."""
    ids = {
        n: x[:, [column]]
        for n, x in INPUTS[task].items()
        if n == "candidates" or n.startswith(("candidate_", "second_"))
    }
    item, clicks = ids["candidates"], INPUTS[task]["neighbor_items"]
    second = of_category(ids["second_items"], item[..., None])
    ids |= {"neighbor_items": of_category(clicks, item), "second_items": second}
    return ids


def test_clicks_of_other_categories_are_as_if_they_were_not_there():
    task, plain, filtered = "search", small_model(), filtered_model()
    for one, other in zip(plain.get_weights(), filtered.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    columns = [column_without_others(task, column) for column in range(3)]
    for name in ("neighbor_items", "second_items"):
        kept = np.array([np.sum(ids[name] > 0, axis=-1) for ids in columns])
        assert {0, 1} <= set(kept.flat)
    expected = [numpy(plain.score(task, changed(task, **ids))) for ids in columns]
    scores = numpy(filtered.score(task, INPUTS))
    np.testing.assert_allclose(scores, np.hstack(expected), atol=1e-6)
    assert np.abs(scores - numpy(plain.score(task, INPUTS))).max() > 1e-3


def test_a_filtered_catalogue_has_the_scores_of_candidates():
    model, items = filtered_model(), np.arange(1, 5, dtype="int32")
    vectors = model.encode_candidates(items)
    width = (3 + 2 * SPEC.max_neighbors) * model.width
    assert vectors.shape[1] == width + 1
    served = {
        n: x
        for n, x in INPUTS["rec"].items()
        if not n.startswith(("candidate_", "second_"))
    }
    served["candidates"] = np.tile(items, (6, 1))
    prepared = prepare_targets(model, "rec", INPUTS)
    found = numpy(score_items(model, "rec", prepared, vectors))
    expected = numpy(model.score("rec", {"rec": served}))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_bfloat16_tells_categories_apart():
    """As a number of bfloat16, 257 is 256."""
    spec = dataclasses.replace(SPEC, item_features={"category": 300, "brand": 2})
    tables = feature_tables(spec)
    odd = np.arange(SPEC.num_items + 1) % 2
    tables["item"]["category"] = np.where(odd, 257, 256).astype("int32")
    options = {**OPTIONS, "category": "category", "dtype": "mixed_bfloat16"}
    model = randomize(SRJGraph(spec, tables, **options))

    def scores_with(clicks):
        ids = INPUTS["rec"]
        second = np.broadcast_to(clicks, ids["second_items"].shape)
        candidates = np.full_like(ids["candidates"], 7)
        arrays = {"neighbor_items": np.tile(clicks, (6, 1)), "second_items": second}
        inputs = changed("rec", candidates=candidates, **arrays)
        return numpy(model.score("rec", inputs))

    expected = scores_with([1, 2, 4, 3])
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(scores_with([1, 6, 0, 3]), expected)
    assert np.abs(scores_with([1, 5, 4, 3]) - expected).max() > 1e-2


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"category": "colour"}, "of which there are: category, brand; not 'colour'"),
        ({"category": "tags"}, "of which there are: category, brand; not 'tags'"),
        ({"category": "brand", "item_encoder": "id"}, "take item_encoder=features"),
    ],
)
def test_what_is_no_category_is_refused(options, expected):
    features = {**SPEC.item_features, "tags": [3, 2]}
    with pytest.raises(ValueError, match=f"^category.*{expected}$"):
        SRJGraph(dataclasses.replace(SPEC, item_features=features), **options)


def test_rows_that_are_no_targets_are_not_in_the_statistics():
    filled, alone = small_model(), small_model()
    is_target = np.array([True, True, False, True, False, True])
    filled.losses_of("rec", changed("rec", is_target=is_target))
    alone.losses_of("rec", take_rows(INPUTS, is_target))
    for one, other in zip(
        filled.non_trainable_variables, alone.non_trainable_variables, strict=True
    ):
        if "moving" in one.path:
            np.testing.assert_allclose(numpy(one), numpy(other), rtol=1e-4, atol=1e-6)


def test_registered_for_both_tasks():
    assert get("srjgraph") is SRJGraph
    assert small_model(search_loss_weight=0.5).task_weights["search"] == 0.5
    assert list(small_model(tasks=("rec",)).heads) == ["rec"]
