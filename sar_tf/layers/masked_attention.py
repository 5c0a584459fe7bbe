"""Multi-head attention whose keys may be masked, as PyTorch computes it."""

from typing import Any

import keras
from keras import ops

from sar_tf.layers.masking import future_bias, key_mask_bias, softmax
from sar_tf.layers.multi_head import MultiHead
from sar_tf.layers.products import of_rows, sizes, times


@keras.saving.register_keras_serializable("sar_tf")
class MaskedAttention(MultiHead):
    """Multi-head attention whose context is zero where every key is masked.

    `softmax(Q K^T / sqrt(D / h)) V` for each of the h heads, concatenated and
    projected. Masked keys have a weight of exactly 0. If all keys are masked, the
    context is zero and the result is the projection's bias. (In this case Keras'
    own `MultiHeadAttention` averages all keys, and the official code gives NaN.)

    Args:
        num_heads: number of heads h, a divisor of the width D.
        dropout: rate on the attention weights.
        use_bias: whether the projections have biases. Without them a zero vector among
            the keys has logit 0 and adds nothing.
        is_causal: whether a query sees only the keys of its own slot and of earlier
            ones.

    Call arguments:
        queries: `(B, Nq, D)`.
        keys: `(B, Nk, D)`, also the values.
        key_mask: bool `(B, Nk)`.

    Returns:
        `(B, Nq, D)`.

    Example:

    >>> from keras import ops
    >>> queries, keys = ops.ones((2, 3, 8)), ops.ones((2, 5, 8))
    >>> update = MaskedAttention(num_heads=2)(queries, keys, ops.ones((2, 5), "bool"))
    >>> tuple(update.shape)
    (2, 3, 8)

    Reference:
        [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762)
    """

    def __init__(
        self,
        num_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
        is_causal: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(num_heads, dropout, **kwargs)
        self.use_bias = use_bias
        self.is_causal = is_causal

    def build(self, queries_shape, keys_shape=None, key_mask_shape=None):
        width = queries_shape[-1]
        self._check_width(width)
        # As in PyTorch, q, k and v share one kernel and its initialisation.
        self.qkv_kernel = self.add_weight(
            name="qkv_kernel",
            shape=(width, 3 * width),
            initializer="glorot_uniform",
        )
        if self.use_bias:
            self.qkv_bias = self.add_weight(
                name="qkv_bias", shape=(3 * width,), initializer="zeros"
            )
        self.output_dense = self._dense(width, "output", width, use_bias=self.use_bias)

    def call(
        self, queries: Any, keys: Any, key_mask: Any, training: bool | None = None
    ) -> Any:
        width = queries.shape[-1]
        # Scaling the small kernel instead of the logits costs nothing.
        scale = (width // self.num_heads) ** -0.5
        kernel_q, kernel_kv = ops.split(self.qkv_kernel, [width], axis=-1)
        kernel_q = kernel_q * scale
        bias_q = bias_kv = bias = None
        if self.use_bias:
            bias_q, bias_kv = ops.split(self.qkv_bias, [width], axis=-1)
            bias_q = bias_q * scale
        if queries is keys:
            kernel = ops.concatenate([kernel_q, kernel_kv], axis=-1)
            if self.use_bias:
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
        if self.is_causal:
            logits = logits + future_bias(*ops.shape(logits)[-2:])
        weights = ops.cast(softmax(logits), v.dtype)
        weights = self.dropout(weights, training=training)
        context = ops.transpose(ops.matmul(weights, v), (0, 2, 1, 3))
        return of_rows(self.output_dense, ops.reshape(context, sizes(queries)))

    def _project(self, x, kernel, bias, count):
        """`count` projections at once, each `(B, h, N, D / h)`."""
        x = times(x, kernel, bias)
        batch, slots, width = sizes(x)
        size = width // (count * self.num_heads)
        x = ops.reshape(x, (batch, slots, count, self.num_heads, size))
        # After one transposition each part is contiguous: unstack copies nothing.
        return ops.unstack(ops.transpose(x, (2, 0, 3, 1, 4)), count)

    def get_config(self):
        return {
            **super().get_config(),
            "use_bias": self.use_bias,
            "is_causal": self.is_causal,
        }
