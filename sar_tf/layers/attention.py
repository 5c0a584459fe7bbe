"""Masked attention: encoders of transitions and their fusion.

All masks are masks of keys: bool `(B, N)`, true where a slot holds a behavior.
If all keys of a query are masked, its context is zero.
"""

from typing import Any

import keras
from keras import layers, ops

from sar_tf.layers.dropout import Dropout
from sar_tf.layers.masking import key_mask_bias, softmax


@keras.saving.register_keras_serializable("sar_tf")
class MaskedAttention(layers.Layer):
    """Multi-head attention whose context is zero where every key is masked.

    `softmax(Q K^T / sqrt(D / h)) V` for each of the h heads, concatenated and
    projected. Masked keys have a weight of exactly 0. If all keys are masked, the
    context is zero and the result is the projection's bias. (In this case Keras'
    own `MultiHeadAttention` averages all keys, and the official code gives NaN.)

    Args:
        num_heads: number of heads h, a divisor of the width D.
        dropout: rate on the attention weights.

    Call arguments:
        queries: `(B, Nq, D)`.
        keys: `(B, Nk, D)`, also the values.
        key_mask: bool `(B, Nk)`.

    Returns:
        `(B, Nq, D)`.

    Example:

    >>> attention = MaskedAttention(num_heads=2)
    >>> update = attention(recommendations, searches, search_mask)

    Reference:
        [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762)
    """

    def __init__(self, num_heads: int, dropout: float = 0.0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.dropout_rate = dropout
        self.dropout = Dropout(dropout, name="dropout", dtype=self.dtype_policy)

    def build(self, queries_shape, keys_shape=None, key_mask_shape=None):
        width = queries_shape[-1]
        if width % self.num_heads:
            raise ValueError(
                f"{self.name}: num_heads={self.num_heads} does not divide "
                f"the width {width}"
            )
        # As in PyTorch, q, k and v share one kernel and its initialisation.
        self.qkv_kernel = self.add_weight(
            name="qkv_kernel",
            shape=(width, 3 * width),
            initializer="glorot_uniform",
        )
        self.qkv_bias = self.add_weight(
            name="qkv_bias", shape=(3 * width,), initializer="zeros"
        )
        self.output_dense = layers.Dense(
            width,
            kernel_initializer="glorot_normal",
            name="output",
            dtype=self.dtype_policy,
        )
        self.output_dense.build((None, width))

    def call(
        self, queries: Any, keys: Any, key_mask: Any, training: bool | None = None
    ) -> Any:
        width = queries.shape[-1]
        # Scaling the small kernel instead of the logits costs nothing.
        scale = (width // self.num_heads) ** -0.5
        kernel_q, kernel_kv = ops.split(self.qkv_kernel, [width], axis=-1)
        bias_q, bias_kv = ops.split(self.qkv_bias, [width], axis=-1)
        kernel_q, bias_q = kernel_q * scale, bias_q * scale
        if queries is keys:
            kernel = ops.concatenate([kernel_q, kernel_kv], axis=-1)
            bias = ops.concatenate([bias_q, bias_kv], axis=-1)
            q, k, v = self._project(queries, kernel, bias, 3)
        else:
            (q,) = self._project(queries, kernel_q, bias_q, 1)
            k, v = self._project(keys, kernel_kv, bias_kv, 2)
        # Softmax gives an all-masked row uniform weights. Zero values turn them
        # into a zero context.
        v = v * ops.cast(key_mask, v.dtype)[:, None, :, None]
        logits = ops.matmul(q, ops.swapaxes(k, -1, -2))
        logits = ops.cast(logits, "float32") + key_mask_bias(key_mask)
        weights = ops.cast(softmax(logits), v.dtype)
        weights = self.dropout(weights, training=training)
        context = ops.transpose(ops.matmul(weights, v), (0, 2, 1, 3))
        return self.output_dense(ops.reshape(context, ops.shape(queries)))

    def _project(self, x, kernel, bias, count):
        """`count` projections at once, each `(B, h, N, D / h)`."""
        x = ops.matmul(x, kernel) + bias
        batch, slots, width = ops.shape(x)
        size = width // (count * self.num_heads)
        x = ops.reshape(x, (batch, slots, count, self.num_heads, size))
        # After one transposition each part is contiguous: unstack copies nothing.
        return ops.unstack(ops.transpose(x, (2, 0, 3, 1, 4)), count)

    def compute_output_shape(self, queries_shape, keys_shape=None, key_mask_shape=None):
        return queries_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "dropout": self.dropout_rate,
        }


class _Sublayers(layers.Layer):
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

    def _norm(self, name):
        return layers.LayerNormalization(
            epsilon=self.epsilon, name=name, dtype=self.dtype_policy
        )

    def _build_feed_forward(self, width):
        self.feed_forward_in = layers.Dense(
            width,
            layers.ReLU(negative_slope=self.negative_slope, dtype=self.dtype_policy),
            kernel_initializer="glorot_normal",
            name="feed_forward_in",
            dtype=self.dtype_policy,
        )
        self.feed_forward_out = layers.Dense(
            width,
            kernel_initializer="glorot_normal",
            name="feed_forward_out",
            dtype=self.dtype_policy,
        )
        self.feed_forward_in.build((None, width))
        self.feed_forward_out.build((None, width))

    def _feed_forward(self, x, training):
        hidden = self.inner_dropout(self.feed_forward_in(x), training=training)
        return self.feed_forward_out(hidden)

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

    >>> encoder = TransitionEncoder(num_heads=2)
    >>> s2r = encoder(recommendations, searches, search_mask)

    Reference:
        [Shi et al., 2024](https://doi.org/10.1145/3626772.3657811)
    """

    def build(self, x_shape, context_shape=None, context_mask_shape=None):
        self.attention = self._attention("attention")
        self.attention.build(x_shape, context_shape)
        self.attention_norm = self._norm("attention_norm")
        self.attention_norm.build(x_shape)
        self._build_feed_forward(x_shape[-1])
        self.feed_forward_norm = self._norm("feed_forward_norm")
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

    >>> fusion = TransitionFusion(num_heads=2)
    >>> fused = fusion(r2r, s2r, rec_mask)

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
        self.self_attention_norm = self._norm("self_attention_norm")
        self.self_attention_norm.build(same_shape)
        self.cross_attention = self._attention("cross_attention")
        self.cross_attention.build(same_shape)
        self.cross_attention_norm = self._norm("cross_attention_norm")
        self.cross_attention_norm.build(same_shape)
        self._build_feed_forward(same_shape[-1])
        self.feed_forward_norm = self._norm("feed_forward_norm")
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
