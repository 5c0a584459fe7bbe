"""Contrastive losses: query-item alignment and transition alignment."""

from typing import Any

import keras
from keras import layers, ops

from sar_tf.layers import replicas

# Keeps 1 / tau finite. The official code has no bound.
MIN_TEMPERATURE = 1e-3
_NEVER = -1e30  # Logit of a pair that does not count.


def log_sum_exp_similarity(
    anchors: Any, others: Any, sharpness: Any, mask: Any = None
) -> Any:
    """`log sum_j exp(sharpness sim(a, o_j))` of each anchor, over the `mask`.

    `sim(a, o) = tanh(a o^T)`. The matrix of all similarities is the largest
    tensor of the model. Its gradient is written by hand: this takes half as many
    passes over memory as automatic differentiation.

    Args:
        anchors: `(P, D)`, already multiplied by the kernel W.
        others: `(S, D)`.
        sharpness: scalar 1 / tau.
        mask: bool `(1, S)` or `(P, S)`, true for each `o_j` that counts; None: all.

    Returns:
        float32 `(P,)`; very negative if nothing counts.
    """

    @ops.custom_gradient
    def compute(anchors, others, sharpness):
        similarity = ops.matmul(anchors, ops.transpose(others))
        similarity = ops.tanh(ops.cast(similarity, "float32"))
        logits = similarity * sharpness
        # First hide what does not count: a much higher logit would make exp() of
        # all that counts 0.
        if mask is not None:
            logits = ops.where(mask, logits, _NEVER)
        # `initial` is above _NEVER, so exp() of a hidden logit is 0. Without it, a
        # batch without anchors (a task without rows) is an error.
        highest = ops.max(logits, axis=-1, keepdims=True, initial=_NEVER / 2)
        exponentials = ops.exp(logits - highest)
        total = ops.maximum(ops.sum(exponentials, axis=-1, keepdims=True), 1e-37)

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            # What all logits of an anchor share is multiplied in outside the matrix.
            share = upstream[:, None] / total
            weighted = exponentials * similarity
            d_sharpness = ops.sum(share[:, 0] * ops.sum(weighted, axis=-1))
            d_product = ops.cast(exponentials - weighted * similarity, anchors.dtype)
            scale = ops.cast(share * sharpness, anchors.dtype)
            return (
                ops.matmul(d_product, others) * scale,
                ops.matmul(ops.transpose(d_product), anchors * scale),
                d_sharpness,
            )

        return ops.squeeze(highest + ops.log(total), axis=-1), gradient

    return compute(anchors, others, sharpness)


def paired_similarity(anchors: Any, others: Any) -> Any:
    """`tanh(a_p o_p^T)` of each row p: `(P, D), (P, D) -> (P,)`, in float32."""
    product = ops.sum(anchors * others, axis=-1)
    return ops.tanh(ops.cast(product, "float32"))


class _Contrast(layers.Layer):
    """A square kernel W and a learned temperature tau."""

    def __init__(self, temperature: float, **kwargs) -> None:
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

    def _sharpness(self):
        """1 / tau. L2 moves the tau of an unused loss to 0, and 0 / 0 is NaN."""
        return 1.0 / ops.maximum(self.temperature, MIN_TEMPERATURE)

    def get_config(self):
        return {**super().get_config(), "temperature": self.initial_temperature}


@keras.saving.register_keras_serializable("sar_tf")
class QueryItemContrast(_Contrast):
    """InfoNCE between queries and their clicked items (Eq. 2).

    For each pair (q, i) of a query and an item clicked after it, the
    cross-entropy of the pair among the pair and sampled items,

        -log exp(sim(q, i)/tau) / (exp(sim(q, i)/tau) + sum_i- exp(sim(q, i-)/tau)),

    and the same with the roles swapped (`sim(i, q)` among sampled queries),
    with `sim(a, b) = tanh(a W b^T)`; W and tau are shared and learned. The loss
    of a pair is half of the sum of both; the query-item loss is its mean over
    the pairs. (The printed Eq. 2 sums over the pairs, and its denominator lacks
    the pair itself. With a learned tau, that loss has no lower bound.)

    Args:
        temperature: initial value of tau.

    Call arguments:
        queries: `(P, D)`.
        items: `(P, D)`; item p was clicked after query p.
        sampled_items: `(S, D)`.
        sampled_queries: `(S, D)`.

    Returns:
        The loss of each pair, float32 `(P,)`.

    Reference:
        [Shi et al., 2024](https://doi.org/10.1145/3626772.3657811), and
        [Si et al., 2023](https://doi.org/10.1145/3539618.3591786), Eq. 6 to 8
    """

    def build(self, queries_shape, *other_shapes, **named_shapes):
        self._build(queries_shape[-1])

    def call(
        self, queries: Any, items: Any, sampled_items: Any, sampled_queries: Any
    ) -> Any:
        query_to_item = self._cross_entropy(queries, items, sampled_items)
        item_to_query = self._cross_entropy(items, queries, sampled_queries)
        return 0.5 * (query_to_item + item_to_query)

    def _cross_entropy(self, anchors, positives, negatives):
        anchors = ops.matmul(anchors, self.kernel)
        sharpness = self._sharpness()
        positive = paired_similarity(anchors, positives) * sharpness
        negative = log_sum_exp_similarity(anchors, negatives, sharpness)
        return ops.logaddexp(positive, negative) - positive

    def compute_output_shape(self, queries_shape, *other_shapes, **named_shapes):
        return queries_shape[:1]


@keras.saving.register_keras_serializable("sar_tf")
class TransitionAlignment(_Contrast):
    """Aligns a scenario's transitions from both scenarios (Eq. 5).

    The same- and the cross-scenario transitions of one history are pooled
    into two views. The loss of a view is the cross-entropy of the history's
    other view among in-batch negatives, with `sim(a, b)/tau` as logits.

    `reference`: a view's negatives are the other 2B - 2 views, of both kinds;
    the loss of a history is the mean of its two views' losses.

    `paper`: a view's negatives are the B - 1 views of the other kind; the loss
    of a history is the sum of its two views' losses.

    The negatives come from the batch of all replicas: G rows, B of them on this
    replica. The denominator contains the other view too, which the printed Eq. 5
    omits. A history without behavior in the scenario has no transitions: it is no
    negative, and the caller leaves it out of the mean. A history that lacks only
    the other scenario counts.

    Args:
        temperature: initial value of tau.
        negatives: "reference" or "paper".

    Call arguments:
        cross: `(B, D)`, masked means of H_s2r (or H_r2s).
        same: `(B, D)`, masked means of H_r2r (or H_s2s).
        mask: bool `(B,)`, true for histories with behavior in the scenario.

    Returns:
        The loss of each history, float32 `(B,)`.

    Reference:
        [Shi et al., 2024](https://doi.org/10.1145/3626772.3657811)
    """

    def __init__(
        self, temperature: float, negatives: str = "reference", **kwargs
    ) -> None:
        super().__init__(temperature, **kwargs)
        if negatives not in ("reference", "paper"):
            raise ValueError(
                f"negatives must be 'reference' or 'paper', not {negatives!r}"
            )
        self.negatives = negatives

    def build(self, cross_shape, *other_shapes, **named_shapes):
        self._build(cross_shape[-1])

    def call(self, cross: Any, same: Any, mask: Any) -> Any:
        every = replicas.active()
        all_cross, all_same = every.gather(cross), every.gather(same)
        all_masks = every.gather(ops.cast(mask, "float32")) > 0
        if self.negatives == "paper":
            columns = all_masks[None, :]
            return self._cross_entropy(cross, same, all_same, columns) + (
                self._cross_entropy(same, cross, all_cross, columns)
            )
        views = ops.concatenate([cross, same], axis=0)
        other_views = ops.concatenate([same, cross], axis=0)
        all_views = ops.concatenate([all_cross, all_same], axis=0)
        size = ops.shape(all_cross)[0]
        place = every.first_row(cross) + ops.arange(ops.shape(cross)[0])
        place = ops.concatenate([place, size + place], axis=0)
        others = place[:, None] != ops.arange(2 * size)[None, :]
        columns = ops.concatenate([all_masks, all_masks], axis=0)
        counted = ops.logical_and(others, columns[None, :])
        losses = self._cross_entropy(views, other_views, all_views, counted)
        return ops.mean(ops.reshape(losses, (2, -1)), axis=0)

    def _cross_entropy(self, anchors, positives, others, counted):
        anchors = ops.matmul(anchors, self.kernel)
        sharpness = self._sharpness()
        positive = paired_similarity(anchors, positives) * sharpness
        total = log_sum_exp_similarity(anchors, others, sharpness, counted)
        return total - positive

    def compute_output_shape(self, cross_shape, *other_shapes, **named_shapes):
        return cross_shape[:1]

    def get_config(self):
        return {**super().get_config(), "negatives": self.negatives}
