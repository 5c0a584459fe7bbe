import numpy as np
from support.layer_weights import numpy, randomize, round_trip

from sar_tf.layers.intent_attention import IntentAttention

G, Q, K, D = 3, 2, 4, 6
MASK = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]], bool)


def case():
    rng = np.random.default_rng(0)
    target, own = rng.normal(size=(2, G, Q, D)).astype("float32")
    parts = [rng.normal(size=(G, n, 2)).astype("float32") for n in (1, K, K)]
    layer = IntentAttention(max_neighbors=5)
    layer(target, own, parts, MASK)
    return randomize(layer), target, own, parts


def norm(layer, x):
    x = (x - x.mean()) / np.sqrt(x.var() + 1e-9)
    return x * numpy(layer.gamma) + numpy(layer.beta)


def expected(layer, target, own, neighbors):
    """One question to one node, with its neighbors at places from 1."""
    y = np.concatenate([target, own]) @ numpy(layer.question.kernel)
    query = norm(layer.query_norm, y @ numpy(layer.query.kernel))
    values = [own, *(x for _, x in neighbors)]
    places = [0, *(place for place, _ in neighbors)]
    logits = [
        query
        @ norm(
            layer.key_norm,
            (x + numpy(layer.positions)[place]) @ numpy(layer.key_kernel),
        )
        / np.sqrt(D)
        for place, x in zip(places, values, strict=True)
    ]
    weights = np.exp(logits) / np.exp(logits).sum()
    r = weights @ np.array(values)
    update = r @ numpy(layer.linear.kernel) + numpy(layer.linear.bias)
    return norm(layer.result_norm, r + update)


def test_values():
    """A node without neighbors, the last one, sees itself alone."""
    layer, target, own, parts = case()
    result = numpy(layer(target, own, parts, MASK))
    whole = np.concatenate([np.repeat(parts[0], K, axis=1), *parts[1:]], axis=-1)
    for g, q in np.ndindex(G, Q):
        neighbors = [(k + 1, whole[g, k]) for k in range(K) if MASK[g, k]]
        value = expected(layer, target[g, q], own[g, q], neighbors)
        np.testing.assert_allclose(result[g, q], value, atol=1e-4)


def test_the_content_of_no_neighbor_does_not_matter():
    layer, target, own, parts = case()
    before = numpy(layer(target, own, parts, MASK))
    others = [parts[0], *(np.where(MASK[..., None], x, 9.0) for x in parts[1:])]
    np.testing.assert_allclose(
        numpy(layer(target, own, others, MASK)), before, atol=1e-6
    )


def test_each_question_may_have_neighbors_of_its_own():
    layer, *inputs = case()
    masks = [MASK, ~MASK]
    result = numpy(layer(*inputs, np.stack(masks, axis=1)))
    for q, mask in enumerate(masks):
        expected = numpy(layer(*inputs, mask))[:, q]
        np.testing.assert_allclose(result[:, q], expected, atol=1e-6)


def test_config_round_trips():
    layer, *inputs = case()
    copy = round_trip(layer, *inputs, MASK)
    result = numpy(copy(*inputs, MASK))
    np.testing.assert_array_equal(result, numpy(layer(*inputs, MASK)))
