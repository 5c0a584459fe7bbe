"""UniSAR in NumPy, written from the paper's equations: the tests' reference.

It takes one user at a time, the history in chronological order and without
padding, and computes in float64. Weights have the official code's names and
layout: linear weights are (out, in), `in_proj_weight` stacks q, k and v.
"""

import numpy as np

TASKS = {"rec": (0, "rec"), "search": (1, "src")}


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


class NumpyUniSAR:
    """The whole model for one task, a user at a time.

    `histories` are lists of behaviors, oldest first: `("rec", item)` or
    `("search", words, clicked items)`.
    """

    def __init__(self, state, tables, num_heads, fusion, transition_negatives):
        self.state = {name: np.asarray(v, np.float64) for name, v in state.items()}
        self.tables = tables
        self.num_heads = num_heads
        self.fusion_variant = fusion
        self.transition_variant = transition_negatives

    def query(self, words):
        """Mean of the word embeddings, projected."""
        table = self.state["query_embedding.query_encoder.word_embedding.weight"]
        words = [word for word in words if word]
        mean = np.mean(table[words], axis=0) if words else np.zeros(table.shape[1])
        return np.tanh(linear(part(self.state, "query_embedding.query_trans"), mean))

    def _entity(self, kind, index):
        weights = part(self.state, f"session_embedding.{kind}_feat")
        parts = [weights[f"{kind}_id_emb.weight"][index]]
        if "caption" in self.tables[kind]:
            parts.append(self.query(self.tables[kind]["caption"][index]))
        for name, table in self.tables[kind].items():
            if name != "caption":
                parts.append(weights[f"{name}_emb.weight"][table[index]])
        return np.tanh(linear(part(weights, f"{kind}_trans"), np.concatenate(parts)))

    def item(self, item):
        encoded = self._entity("item", item)
        return encoded if item else np.zeros(encoded.shape)

    def user(self, user):
        return self._entity("user", user)

    def behavior(self, behavior):
        """Eq. 1."""
        if behavior[0] == "rec":
            return self.item(behavior[1])
        clicked = [self.item(item) for item in behavior[2]]
        embedding = self.query(behavior[1])
        return embedding + np.mean(clicked, axis=0) if clicked else embedding

    def _layers(self, name):
        count = len({key.split(".")[0] for key in part(self.state, name)})
        return [part(self.state, f"{name}.{i}") for i in range(count)]

    def mixed_pairs(self, types):
        """The matrix M: a behavior attends to those of the other type."""
        return types[:, None] != types[None, :]

    def transitions(self, history):
        """Same- and cross-scenario transitions of each scenario (Eq. 3, 4)."""
        types = np.array([behavior[0] for behavior in history])
        width = self.state["rec_query"].shape[-1]
        x = np.array([self.behavior(b) for b in history]).reshape(-1, width)
        mixed = x + self.state["global_pos_emb.pe.weight"][: len(x)]
        allowed = self.mixed_pairs(types)
        for weights in self._layers("global_transformer.transformer_encoder.layers"):
            mixed = encoder(weights, mixed, mixed, allowed, self.num_heads)
        result = {}
        for task, (_, name) in TASKS.items():
            own = x[types == task]
            own = own + self.state[f"{name}_pos.pe.weight"][: len(own)]
            allowed = np.ones((len(own), len(own)), bool)
            for weights in self._layers(
                f"{name}_transformer.transformer_encoder.layers"
            ):
                own = encoder(weights, own, own, allowed, self.num_heads)
            result[task] = (own, mixed[types == task])
        return result

    def logit(self, task, vector):
        """Experts, gate, tower and prediction network of one candidate."""
        index, name = TASKS[task]
        experts = [f"ple_layer.task_experts.0.{index}.{i}" for i in range(99)]
        experts += [f"ple_layer.share_experts.0.{i}" for i in range(99)]
        outputs = [
            np.maximum(linear(part(self.state, f"{expert}.mlp.0"), vector), 0)
            for expert in experts
            if f"{expert}.mlp.0.weight" in self.state
        ]
        gate = softmax(
            linear(part(self.state, f"ple_layer.task_gates.0.{index}.0"), vector)
        )
        x = sum(g * output for g, output in zip(gate, outputs, strict=True))
        hidden = [f"ple_layer.tower.{index}.mlp.{i}" for i in (0, 3)]
        hidden += [f"{name}_fc_layer.fc.{i}" for i in (0, 3)]
        for layer in hidden:
            x = np.maximum(linear(part(self.state, layer), x), 0)
        return linear(part(self.state, f"{name}_fc_layer.fc.6"), x)[0]

    def scores(self, task, histories, inputs):
        """Scores after the sigmoid, `(B, C)`."""
        return np.array(
            [
                [
                    sigmoid(self._candidate(task, fused, item, inputs, row))
                    for item in inputs["candidates"][row]
                ]
                for row, fused in enumerate(map(self.fused, histories))
            ]
        ).reshape(inputs["candidates"].shape)

    def fused(self, history):
        fused = {}
        for scenario, (same, cross) in self.transitions(history).items():
            for weights in self._layers(f"{TASKS[scenario][1]}_cross_fusion.layers"):
                same = fusion(weights, same, cross, self.num_heads, self.fusion_variant)
            fused[scenario] = same
        return fused

    def _candidate(self, task, fused, item, inputs, row):
        item = self.item(item)
        interests = [
            target_attention(
                self.state[f"{TASKS[scenario][1]}_his_attn_pooling.W"][0], x, item
            )
            for scenario, x in fused.items()
        ]
        if task == "search":
            query = self.query(inputs["query_words"][row])
        else:
            query = self.state["rec_query"][0]
        user = self.user(inputs["user"][row])
        return self.logit(task, np.concatenate([*interests, item, user, query]))

    def losses(self, task, histories, inputs):
        """Each loss by name."""
        return {
            "click_loss": click_loss(self.scores(task, histories, inputs)),
            "query_item_loss": self._query_item_loss(histories, inputs),
            "transition_loss": self._transition_loss(histories),
        }

    def _query_item_loss(self, histories, inputs):
        pairs = [
            (self.query(behavior[1]), self.item(item))
            for history in histories
            for behavior in history
            if behavior[0] == "search"
            for item in behavior[2]
        ]
        name = "feature_alignment.infoNCE_loss"
        return query_item_loss(
            self.state[f"{name}.weight_matrix"],
            self.state[f"{name}.temp"],
            pairs,
            [self.item(item) for item in inputs["sampled_items"]],
            [self.query(words) for words in inputs["sampled_query_words"]],
        )

    def _transition_loss(self, histories, scenarios=("rec", "search")):
        transitions = [self.transitions(history) for history in histories]
        total = 0.0
        for scenario in scenarios:
            name = TASKS[scenario][1]
            views = [t[scenario] for t in transitions if len(t[scenario][0])]
            total += transition_loss(
                self.state[f"{name}_his_cl.weight_matrix"],
                self.state[f"{name}_his_cl.infoNCE_temp"],
                [cross.mean(axis=0) for _, cross in views],
                [same.mean(axis=0) for same, _ in views],
                self.transition_variant,
            )
        return total
