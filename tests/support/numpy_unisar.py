"""UniSAR in NumPy, from `numpy_equations`. Weights have the official code's names."""

import numpy as np

from support.numpy_equations import (
    click_loss,
    encoder,
    fusion,
    linear,
    part,
    query_item_loss,
    sigmoid,
    softmax,
    target_attention,
    transition_loss,
)

TASKS = {"rec": (0, "rec"), "search": (1, "src")}


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
