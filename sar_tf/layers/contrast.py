"""Contrastive losses: query-item alignment and transition alignment."""

import keras
from keras import layers, ops

from sar_tf.layers.attention import MASKED_LOGIT


def similarity(a, kernel, b):
    """`sim(a, b) = tanh(a W b^T)` of all pairs (Eq. 2): `(P, D), (S, D) -> (P, S)`."""
    logits = ops.matmul(ops.matmul(a, kernel), ops.transpose(b))
    return ops.tanh(ops.cast(logits, "float32"))


def paired_similarity(a, kernel, b):
    """`sim(a, b)` of row p of `a` with row p of `b`: `(P, D), (P, D) -> (P,)`."""
    logits = ops.sum(ops.matmul(a, kernel) * b, axis=-1)
    return ops.tanh(ops.cast(logits, "float32"))


def masked_average(values, mask):
    """Mean of `values` where `mask` holds, 0 where nothing does: `(P,) -> ()`."""
    weights = ops.cast(mask, values.dtype)
    return ops.sum(values * weights) / ops.maximum(ops.sum(weights), 1.0)


def clicked_pairs(groups):
    """All (query, clicked item) pairs of the histories of a batch.

    Args:
        groups: for each group of histories, embeddings of the `queries`
            `(B, N, D)` and of their `clicked` items `(B, N, K, D)`, and the
            `mask` bool `(B, N, K)` of clicked items.

    Returns:
        queries `(P, D)`, items `(P, D)`, mask bool `(P,)`: slots laid end to
        end, those without a click masked out.
    """
    parts = []
    for queries, clicked, mask in groups:
        width = clicked.shape[-1]
        queries = ops.broadcast_to(ops.expand_dims(queries, -2), ops.shape(clicked))
        parts.append(
            (
                ops.reshape(queries, (-1, width)),
                ops.reshape(clicked, (-1, width)),
                ops.reshape(mask, (-1,)),
            )
        )
    return tuple(ops.concatenate(part, axis=0) for part in zip(*parts, strict=True))


class _Contrast(layers.Layer):
    """A square kernel W and a learned temperature tau."""

    def __init__(self, temperature, **kwargs):
        super().__init__(**kwargs)
        self.initial_temperature = temperature

    def _build(self, width):
        self.kernel = self.add_weight(
            name="kernel", shape=(width, width), initializer="glorot_normal"
        )
        self.temperature = self.add_weight(
            name="temperature",
            shape=(),
            initializer=keras.initializers.Constant(self.initial_temperature),
            dtype="float32",
            autocast=False,
        )

    def get_config(self):
        return {**super().get_config(), "temperature": self.initial_temperature}


@keras.saving.register_keras_serializable("sar_tf")
class QueryItemContrast(_Contrast):
    """InfoNCE between queries and their clicked items (Eq. 2).

    For each pair (q, i) of a query and an item clicked after it, the
    cross-entropy of the pair among the pair and sampled items,

        -log exp(sim(q, i)/tau) / (exp(sim(q, i)/tau) + sum_i- exp(sim(q, i-)/tau)),

    and the same with the roles swapped (`sim(i, q)` among sampled queries),
    with `sim(a, b) = tanh(a W b^T)`; W and tau are shared and learned. The
    result is half of the sum of both means over the pairs.

    Args:
        temperature: tau at the start.

    Call arguments:
        queries: `(P, D)`.
        items: `(P, D)`, row p clicked after query p.
        mask: bool `(P,)`, the rows that are pairs.
        sampled_items: `(S, D)`.
        sampled_queries: `(S, D)`.

    Returns:
        The loss, a float32 scalar; 0 where there is no pair.

    Reference:
        [Shi et al., 2024](https://doi.org/10.1145/3626772.3657811), and
        [Si et al., 2023](https://doi.org/10.1145/3539618.3591786), Eq. 6 to 8
    """

    def build(self, queries_shape, *other_shapes, **named_shapes):
        self._build(queries_shape[-1])

    def call(self, queries, items, mask, sampled_items, sampled_queries):
        query_to_item = self._cross_entropy(queries, items, sampled_items)
        item_to_query = self._cross_entropy(items, queries, sampled_queries)
        return 0.5 * masked_average(query_to_item + item_to_query, mask)

    def _cross_entropy(self, anchors, positives, negatives):
        positive = paired_similarity(anchors, self.kernel, positives)
        negative = similarity(anchors, self.kernel, negatives)
        positive = positive / self.temperature
        negative = ops.logsumexp(negative / self.temperature, axis=-1)
        return ops.logaddexp(positive, negative) - positive

    def compute_output_shape(self, *shapes, **named_shapes):
        return ()


@keras.saving.register_keras_serializable("sar_tf")
class TransitionAlignment(_Contrast):
    """Aligns a scenario's transitions from both scenarios (Eq. 5).

    The same- and the cross-scenario transitions of one history are pooled
    into two views. For each view, the cross-entropy of the history's other
    view among in-batch negatives, with `sim(a, b)/tau` as logits.

    `reference`: the 2B views are stacked; a view's negatives are the other
    2B - 2 views, of either kind; mean over the 2B views.

    `paper`: a view's negatives are the B - 1 views of the other kind; the two
    directions are summed, each a mean over the B histories.

    Histories of no behavior in the scenario have no transitions: they are
    neither anchors nor negatives.

    Args:
        temperature: tau at the start.
        negatives: "reference" or "paper".

    Call arguments:
        cross: `(B, D)`, masked means of H_s2r (or H_r2s).
        same: `(B, D)`, masked means of H_r2r (or H_s2s).
        mask: bool `(B,)`, histories that have the scenario.

    Returns:
        The loss, a float32 scalar.

    Reference:
        [Shi et al., 2024](https://doi.org/10.1145/3626772.3657811)
    """

    def __init__(self, temperature, negatives="reference", **kwargs):
        super().__init__(temperature, **kwargs)
        if negatives not in ("reference", "paper"):
            raise ValueError(
                f"negatives must be 'reference' or 'paper', not {negatives!r}"
            )
        self.negatives = negatives

    def build(self, cross_shape, *other_shapes, **named_shapes):
        self._build(cross_shape[-1])

    def call(self, cross, same, mask):
        if self.negatives == "paper":
            return self._directed(cross, same, mask) + self._directed(same, cross, mask)
        views = ops.concatenate([cross, same], axis=0)
        both = ops.concatenate([mask, mask], axis=0)
        logits = similarity(views, self.kernel, views) / self.temperature
        size = ops.shape(views)[0]
        itself = ops.eye(size, dtype="float32")
        other_view = ops.roll(itself, size // 2, axis=1)
        positive = ops.sum(logits * other_view, axis=-1)
        logits = logits + itself * MASKED_LOGIT + _mask_columns(both)
        return masked_average(ops.logsumexp(logits, axis=-1) - positive, both)

    def _directed(self, anchors, others, mask):
        logits = similarity(anchors, self.kernel, others) / self.temperature
        positive = paired_similarity(anchors, self.kernel, others) / self.temperature
        logits = logits + _mask_columns(mask)
        return masked_average(ops.logsumexp(logits, axis=-1) - positive, mask)

    def compute_output_shape(self, *shapes, **named_shapes):
        return ()

    def get_config(self):
        return {**super().get_config(), "negatives": self.negatives}


def _mask_columns(mask):
    return ((1.0 - ops.cast(mask, "float32")) * MASKED_LOGIT)[None, :]
