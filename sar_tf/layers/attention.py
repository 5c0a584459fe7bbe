"""Encoders of transitions and their fusion.

All masks are masks of keys: bool `(B, N)`, true where a slot holds a behavior.
If all keys of a query are masked, its context is zero.
"""

from typing import Any

import keras
from keras import layers

from sar_tf.layers.composite import Composite
from sar_tf.layers.dropout import Dropout
from sar_tf.layers.masked_attention import MaskedAttention
from sar_tf.layers.products import of_rows


class _Sublayers(Composite):
    """Post-norm sublayers: `LayerNorm(x + Dropout(sublayer(x)))`."""

    def __init__(
        self,
        num_heads: int,
        dropout: float = 0.0,
        epsilon: float = 1e-5,
        inner_dropout: float | None = None,
        negative_slope: float = 0.0,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.dropout_rate = dropout
        self.epsilon = epsilon
        self.inner_dropout_rate = dropout if inner_dropout is None else inner_dropout
        self.negative_slope = negative_slope
        self.dropout = Dropout(dropout, name="dropout", dtype=self.dtype_policy)
        self.inner_dropout = Dropout(
            self.inner_dropout_rate, name="inner_dropout", dtype=self.dtype_policy
        )

    def _attention(self, name):
        return MaskedAttention(
            self.num_heads, self.inner_dropout_rate, name=name, dtype=self.dtype_policy
        )

    def _build_feed_forward(self, width):
        relu = layers.ReLU(negative_slope=self.negative_slope, dtype=self.dtype_policy)
        self.feed_forward_in = self._dense(
            width, "feed_forward_in", width, activation=relu
        )
        self.feed_forward_out = self._dense(width, "feed_forward_out", width)

    def _feed_forward(self, x, training):
        def network(rows):
            hidden = self.inner_dropout(self.feed_forward_in(rows), training=training)
            return self.feed_forward_out(hidden)

        return of_rows(network, x)

    def _add(self, norm, x, update, training):
        return norm(x + self.dropout(update, training=training))

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "dropout": self.dropout_rate,
            "epsilon": self.epsilon,
            "inner_dropout": self.inner_dropout_rate,
            "negative_slope": self.negative_slope,
        }


@keras.saving.register_keras_serializable("sar_tf")
class TransitionEncoder(_Sublayers):
    """Encoder layer that extracts transitions into `x` (Eq. 3 and 4).

    `H = FFN(MSA(x, context, context))`, post-norm. With `context = x` it
    extracts the transitions within one scenario (s2s, r2r). In the mixed
    history, the paper's matrix M lets a behavior attend only to behaviors of
    the other type. Here a model calls the layer twice with the same weights:
    the recommendation slots with the search slots as context (s2r), and the
    reverse (r2s). Nothing is computed for the masked half. A masked pair has
    weight 0, as the paper's text says; the paper's Hadamard product would give
    it the logit 0.

    Args:
        num_heads: number of attention heads.
        dropout: rate on each sublayer's output.
        epsilon: epsilon of the layer normalization.
        inner_dropout: rate on attention weights and in the feed-forward; None
            is `dropout`.
        negative_slope: slope of the feed-forward's ReLU below 0.

    Call arguments:
        x: `(B, N, D)`.
        context: `(B, M, D)`.
        context_mask: bool `(B, M)`.

    Returns:
        `(B, N, D)`.

    Example:

    >>> from keras import ops
    >>> recs, searches = ops.ones((2, 3, 8)), ops.ones((2, 5, 8))
    >>> s2r = TransitionEncoder(num_heads=2)(recs, searches, ops.ones((2, 5), "bool"))
    >>> tuple(s2r.shape)
    (2, 3, 8)

    Reference:
        [Shi et al., 2024](https://doi.org/10.1145/3626772.3657811)
    """

    def build(self, x_shape, context_shape=None, context_mask_shape=None):
        self.attention = self._attention("attention")
        self.attention.build(x_shape, context_shape)
        self.attention_norm = self._norm("attention_norm", self.epsilon)
        self.attention_norm.build(x_shape)
        self._build_feed_forward(x_shape[-1])
        self.feed_forward_norm = self._norm("feed_forward_norm", self.epsilon)
        self.feed_forward_norm.build(x_shape)

    def compute_output_shape(
        self, x_shape, context_shape=None, context_mask_shape=None
    ):
        return x_shape

    def call(
        self, x: Any, context: Any, context_mask: Any, training: bool | None = None
    ) -> Any:
        update = self.attention(x, context, context_mask, training=training)
        x = self._add(self.attention_norm, x, update, training)
        update = self._feed_forward(x, training)
        return self._add(self.feed_forward_norm, x, update, training)


@keras.saving.register_keras_serializable("sar_tf")
class TransitionFusion(_Sublayers):
    """Fuses same- and cross-scenario transitions (Eq. 7), post-norm.

    `reference` (the official code: a decoder layer on the same-scenario
    sequence): `F = MSA(same)`, `V = FFN(MCA(F, cross, cross))`.

    `paper`: `F = MSA(same)`, `V = FFN(MCA(cross, F, F))`: the cross-scenario
    sequence gives the queries, F gives the keys and values.

    Args:
        num_heads, dropout, epsilon, inner_dropout, negative_slope: as in
            `TransitionEncoder`.
        variant: "reference" or "paper".

    Call arguments:
        same: `(B, N, D)`, transitions from the same scenario (r2r or s2s).
        cross: `(B, N, D)`, transitions from the other scenario (s2r or r2s).
        mask: bool `(B, N)`, true where a slot of both sequences holds a behavior.

    Returns:
        `(B, N, D)`.

    Example:

    >>> from keras import ops
    >>> r2r, s2r = ops.ones((2, 3, 8)), ops.ones((2, 3, 8))
    >>> fused = TransitionFusion(num_heads=2)(r2r, s2r, ops.ones((2, 3), "bool"))
    >>> tuple(fused.shape)
    (2, 3, 8)

    Reference:
        [Shi et al., 2024](https://doi.org/10.1145/3626772.3657811)
    """

    def __init__(
        self,
        num_heads: int,
        dropout: float = 0.0,
        epsilon: float = 1e-5,
        variant: str = "reference",
        **kwargs,
    ) -> None:
        super().__init__(num_heads, dropout, epsilon, **kwargs)
        if variant not in ("reference", "paper"):
            raise ValueError(f"variant must be 'reference' or 'paper', not {variant!r}")
        self.variant = variant

    def build(self, same_shape, cross_shape=None, mask_shape=None):
        self.self_attention = self._attention("self_attention")
        self.self_attention.build(same_shape)
        self.self_attention_norm = self._norm("self_attention_norm", self.epsilon)
        self.self_attention_norm.build(same_shape)
        self.cross_attention = self._attention("cross_attention")
        self.cross_attention.build(same_shape)
        self.cross_attention_norm = self._norm("cross_attention_norm", self.epsilon)
        self.cross_attention_norm.build(same_shape)
        self._build_feed_forward(same_shape[-1])
        self.feed_forward_norm = self._norm("feed_forward_norm", self.epsilon)
        self.feed_forward_norm.build(same_shape)

    def compute_output_shape(self, same_shape, cross_shape=None, mask_shape=None):
        return same_shape

    def call(
        self, same: Any, cross: Any, mask: Any, training: bool | None = None
    ) -> Any:
        update = self.self_attention(same, same, mask, training=training)
        same = self._add(self.self_attention_norm, same, update, training)
        if self.variant == "reference":
            x, memory = same, cross
        else:
            x, memory = cross, same
        update = self.cross_attention(x, memory, mask, training=training)
        x = self._add(self.cross_attention_norm, x, update, training)
        update = self._feed_forward(x, training)
        return self._add(self.feed_forward_norm, x, update, training)

    def get_config(self):
        return {**super().get_config(), "variant": self.variant}
