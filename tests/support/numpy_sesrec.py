"""SESRec in NumPy, written from the paper's equations: the tests' reference.

It takes one user at a time and computes in float64. Weights have the layout of
`numpy_equations`: linear weights are (out, in), `in_proj_weight` stacks q, k and v.

A recommendation is an item id. A search is `(query id, words, clicked items,
source)`. The co-attention of the official code reads empty slots too, so a
history comes with the number of its slots.
"""

import numpy as np

from support.numpy_equations import (
    attention,
    click_loss,
    layer_norm,
    linear,
    part,
    query_item_loss,
    sigmoid,
    softmax,
    target_attention,
)

SCENARIOS = ("rec", "search")
EMPTY = {"rec": 0, "search": (0, [], [], 0)}


def encoder(weights, x, count, num_heads):
    """Post-norm encoder layer (Eq. 4 and 5); the first `count` slots are the keys."""
    allowed = np.broadcast_to(np.arange(len(x)) < count, (len(x), len(x)))
    update = attention(part(weights, "self_attn"), x, x, allowed, num_heads)
    x = layer_norm(part(weights, "norm1"), x + update, epsilon=1e-8)
    hidden = linear(part(weights, "linear1"), x)
    hidden = np.where(hidden > 0, hidden, 0.01 * hidden)
    update = linear(part(weights, "linear2"), hidden)
    return layer_norm(part(weights, "norm2"), x + update, epsilon=1e-8)


def co_attention(weights, rec, search, counts, variant):
    """Weights of both histories' slots (Eq. 9 and 10), without the empty slots.

    The paper's sums run over the other history's behaviors, the official code's
    over all its slots.
    """
    num_rec, num_search = counts["rec"], counts["search"]
    if variant == "paper":
        rec, search = rec[:num_rec], search[:num_search]
    affinity = np.tanh(rec @ weights["affinity"] @ search.T)
    logits_rec, logits_search = np.zeros(num_rec), np.zeros(num_search)
    if num_search:
        logits_rec = (affinity @ (search @ weights["search"]))[:num_rec]
    if num_rec:
        logits_search = ((rec @ weights["rec"]) @ affinity)[:num_search]
    return {
        scenario: softmax(logits) if len(logits) else logits
        for scenario, logits in zip(SCENARIOS, (logits_rec, logits_search), strict=True)
    }


def split_slots(weights, split):
    """P and N as lists of slots (Eq. 11 and 12); an empty side gets all slots."""
    slots = list(range(len(weights)))
    if not slots:
        return [], []
    thresholds = {
        "mean": 1 / len(slots),
        "median": np.median(weights),
        "1/8": 1 / 8,
        "1/16": 1 / 16,
    }
    similar = [j for j in slots if weights[j] >= thresholds[split]]
    dissimilar = [j for j in slots if j not in similar]
    return similar or slots, dissimilar or slots


def distance(a, b):
    """Euclidean distance with the epsilon of PyTorch's pairwise distance."""
    return np.linalg.norm(a - b + 1e-6)


def triplet_loss(encoded, weights, similar, dissimilar, margin):
    """Eq. 13 to 15 of one history."""
    anchor = weights @ encoded
    positive = encoded[similar].mean(axis=0)
    negative = encoded[dissimilar].mean(axis=0)
    return max(distance(anchor, positive) - distance(anchor, negative) + margin, 0)


class NumpySESRec:
    """The whole model, a user at a time.

    Args:
        state: `{name: array}`.
        tables: Feature look-up tables of "user" and "item", in the features' order.
        slots: `{scenario: number of slots}` that a history is padded to.
        options: `num_heads`, `split`, `triplet_margin` and `co_attention` of the
            model.
    """

    def __init__(self, state, tables, slots, options):
        self.state = {name: np.asarray(v, np.float64) for name, v in state.items()}
        self.tables = tables
        self.slots = slots
        self.options = options

    def _entity(self, kind, index):
        """Embeddings of the id and of the features, in their order."""
        weights = part(self.state, kind)
        parts = [weights["id"][index]]
        parts += [weights[n][table[index]] for n, table in self.tables[kind].items()]
        return np.concatenate(parts)

    def item(self, item):
        return linear(part(self.state, "item.dense"), self._entity("item", item))

    def query(self, query, words):
        """The query's id and the mean of its words, projected (Eq. 1)."""
        table = self.state["query.word"]
        words = [word for word in words if word]
        mean = table[words].mean(axis=0) if words else np.zeros(table.shape[1])
        vector = np.concatenate([self.state["query.id"][query], mean])
        return linear(part(self.state, "query.dense"), vector)

    def search(self, search):
        """Eq. 3 without the position."""
        query, words, clicked, source = search
        embedding = self.query(query, words) + self.state["source"][source]
        if clicked:
            embedding += np.mean([self.item(item) for item in clicked], axis=0)
        return embedding

    def encoded(self, scenario, behaviors):
        """H_r or H_s of all slots (Eq. 2 to 5)."""
        embed = {"rec": self.item, "search": self.search}[scenario]
        empty = [EMPTY[scenario]] * (self.slots[scenario] - len(behaviors))
        x = np.array([embed(behavior) for behavior in [*behaviors, *empty]])
        x += self.state[f"{scenario}.position"][: len(x)]
        layers = part(self.state, f"{scenario}.layers")
        for i in sorted({int(name.split(".")[0]) for name in layers}):
            heads = self.options["num_heads"]
            x = encoder(part(layers, str(i)), x, len(behaviors), heads)
        return x

    def interests(self, history):
        """H without the empty slots, the weights, P and N: `{scenario: …}`."""
        encoded = {s: self.encoded(s, history[s]) for s in SCENARIOS}
        counts = {s: len(history[s]) for s in SCENARIOS}
        weights = co_attention(
            part(self.state, "co_attention"),
            *encoded.values(),
            counts,
            self.options["co_attention"],
        )
        return {
            s: (
                encoded[s][: counts[s]],
                weights[s],
                *split_slots(weights[s], self.options["split"]),
            )
            for s in SCENARIOS
        }

    def score(self, interests, user, item):
        """Eq. 17 to 21."""
        item = self.item(item)
        views = []
        for scenario, (encoded, _, similar, dissimilar) in interests.items():
            kernel = self.state[f"{scenario}.target"]
            views += [
                target_attention(kernel, x, item)
                for x in (encoded, encoded[similar], encoded[dissimilar])
            ]
        x = np.concatenate([*views, self._entity("user", user), item])
        layers = part(self.state, "prediction")
        *hidden, last = sorted({name.split(".")[0] for name in layers})
        for name in hidden:
            x = np.maximum(linear(part(layers, name), x), 0)
        return sigmoid(linear(part(layers, last), x)[0])

    def scores(self, histories, inputs):
        """Scores after the sigmoid, `(B, C)`."""
        rows = zip(histories, inputs["user"], inputs["candidates"], strict=True)
        return np.array(
            [
                [self.score(interests, user, item) for item in candidates]
                for history, user, candidates in rows
                for interests in [self.interests(history)]
            ]
        )

    def losses(self, histories, inputs):
        """Each loss by name (Eq. 22, 6 to 8, 13 to 16), of the rows with a target."""
        real = inputs["is_target"]
        return {
            "click_loss": click_loss(self.scores(histories, inputs)[real]),
            "query_item_loss": self._query_item_loss(histories, inputs),
            "contrast_loss": self._contrast_loss(histories),
        }

    def _query_item_loss(self, histories, inputs):
        """Of the queries without their sources."""
        pairs = [
            (self.query(query, words), self.item(item))
            for history in histories
            for query, words, clicked, _ in history["search"]
            for item in clicked
        ]
        queries = zip(
            inputs["sampled_queries"], inputs["sampled_query_words"], strict=True
        )
        return query_item_loss(
            self.state["alignment.kernel"],
            self.state["alignment.temperature"],
            pairs,
            [self.item(item) for item in inputs["sampled_items"]],
            [self.query(*query) for query in queries],
        )

    def _contrast_loss(self, histories):
        """Sum of both scenarios' means over the histories that are not empty."""
        interests = [self.interests(history) for history in histories]
        margin = self.options["triplet_margin"]
        total = 0.0
        for scenario in SCENARIOS:
            losses = [
                triplet_loss(*found[scenario], margin)
                for found in interests
                if len(found[scenario][0])
            ]
            total += np.mean(losses) if losses else 0.0
        return total
