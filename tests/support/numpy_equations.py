"""Equations of the models in NumPy, written from the papers: the tests' reference.

They take one user at a time, the history in chronological order and without
padding, and compute in float64. Weights have the official code's layout: linear
weights are (out, in), `in_proj_weight` stacks q, k and v.
"""

import numpy as np


def part(weights, prefix):
    """The weights under a prefix, by the rest of their names."""
    prefix += "."
    return {
        name.removeprefix(prefix): np.asarray(value, np.float64)
        for name, value in weights.items()
        if name.startswith(prefix)
    }


def linear(weights, x):
    return x @ weights["weight"].T + weights["bias"]


def softmax(x):
    exp = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return exp / np.sum(exp, axis=-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def layer_norm(weights, x, epsilon=1e-5):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    x = (x - mean) / np.sqrt(variance + epsilon)
    return x * weights["weight"] + weights["bias"]


def attention(weights, queries, keys, allowed, num_heads):
    """Multi-head attention; query i may attend to key j where `allowed[i, j]`."""
    kernels = np.split(weights["in_proj_weight"], 3)
    biases = np.split(weights["in_proj_bias"], 3)
    q, k, v = (
        x @ kernel.T + bias
        for x, kernel, bias in zip((queries, keys, keys), kernels, biases, strict=True)
    )
    head_width = queries.shape[1] // num_heads
    context = np.zeros(queries.shape)
    for head in range(num_heads):
        columns = slice(head * head_width, (head + 1) * head_width)
        logits = q[:, columns] @ k[:, columns].T / np.sqrt(head_width)
        for i in range(len(queries)):
            if allowed[i].any():
                masked = np.where(allowed[i], logits[i], -np.inf)
                context[i, columns] = softmax(masked) @ v[:, columns]
    return linear(part(weights, "out_proj"), context)


def feed_forward(weights, x):
    hidden = np.maximum(linear(part(weights, "linear1"), x), 0)
    return linear(part(weights, "linear2"), hidden)


def encoder(weights, x, context, allowed, num_heads):
    """Post-norm encoder layer (Eq. 3 and 4)."""
    update = attention(part(weights, "self_attn"), x, context, allowed, num_heads)
    x = layer_norm(part(weights, "norm1"), x + update)
    return layer_norm(part(weights, "norm2"), x + feed_forward(weights, x))


def fusion(weights, same, cross, num_heads, variant="reference"):
    """Post-norm fusion layer (Eq. 7)."""
    allowed = np.ones((len(same), len(same)), bool)
    update = attention(part(weights, "self_attn"), same, same, allowed, num_heads)
    same = layer_norm(part(weights, "norm1"), same + update)
    query, memory = (same, cross) if variant == "reference" else (cross, same)
    cross_weights = part(weights, "multihead_attn")
    update = attention(cross_weights, query, memory, allowed, num_heads)
    x = layer_norm(part(weights, "norm2"), query + update)
    return layer_norm(part(weights, "norm3"), x + feed_forward(weights, x))


def target_attention(kernel, history, candidate):
    """`V^T softmax(V W e_i)` of one candidate (Eq. 8); 0 without a history."""
    if len(history) == 0:
        return np.zeros(candidate.shape)
    return history.T @ softmax(history @ kernel @ candidate)


def similarity(a, kernel, b):
    return np.tanh(a @ kernel @ b)


def cross_entropy(positive, negatives):
    """`-log(exp(positive) / (exp(positive) + sum exp(negatives)))`."""
    logits = np.array([positive, *negatives], np.float64)
    return np.logaddexp.reduce(logits) - logits[0]


def query_item_loss(kernel, temperature, pairs, sampled_items, sampled_queries):
    """Eq. 2 of (query, item) pairs: half of the sum of both directions' means."""
    total = 0.0
    for query, item in pairs:
        for anchor, other, samples in (
            (query, item, sampled_items),
            (item, query, sampled_queries),
        ):
            positive = similarity(anchor, kernel, other) / temperature
            negatives = [similarity(anchor, kernel, s) / temperature for s in samples]
            total += cross_entropy(positive, negatives)
    return 0.5 * total / len(pairs) if pairs else 0.0


def transition_loss(kernel, temperature, cross, same, variant="reference"):
    """Eq. 5 of the pooled views of the histories that have the scenario."""
    size = len(cross)
    if not size:
        return 0.0
    if variant == "reference":
        views = [*cross, *same]
        others = [(i + size) % (2 * size) for i in range(2 * size)]
        losses = [
            cross_entropy(
                similarity(view, kernel, views[others[i]]) / temperature,
                [
                    similarity(view, kernel, views[j]) / temperature
                    for j in range(2 * size)
                    if j not in (i, others[i])
                ],
            )
            for i, view in enumerate(views)
        ]
        return np.mean(losses)
    return sum(
        np.mean(
            [
                cross_entropy(
                    similarity(anchor, kernel, others[i]) / temperature,
                    [
                        similarity(anchor, kernel, other) / temperature
                        for j, other in enumerate(others)
                        if j != i
                    ],
                )
                for i, anchor in enumerate(anchors)
            ]
        )
        for anchors, others in ((cross, same), (same, cross))
    )


def click_loss(scores):
    """Eq. 10 of scores after the sigmoid, the positive in column 0."""
    return -(np.log(scores[:, 0]).sum() + np.log(1 - scores[:, 1:]).sum()) / scores.size
