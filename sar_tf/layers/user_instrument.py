"""What a user's queries tell about the user, for a candidate or for all."""

from typing import Any

import keras
from keras import ops

from sar_tf.layers.composite import Composite
from sar_tf.layers.masked_attention import MaskedAttention
from sar_tf.layers.masking import masked_softmax


@keras.saving.register_keras_serializable("sar_tf")
class UserInstrument(Composite):
    """Queries that see each other, pooled by a candidate or without one.

        y = MultiHeadAttention(W x + b)
        a_t = v . tanh(W_q c + W_k y_t + b_k),  result = sum_t softmax_t(a_t) W_v y_t

    over the queries x_t of the mask, for a candidate's vector c. Without candidates
    there is no summand W_q c.

    Args:
        num_heads: heads of the attention between queries, a divisor of D.

    Call arguments:
        queries: `(B, N, D)`.
        mask: bool `(B, N)`, true where a slot holds a search.
        candidates: `(B, C, D)`, or None.

    Returns:
        `(B, C, D)`, without candidates `(B, D)`; 0 where there are no queries.

    Example:

    >>> import numpy as np
    >>> x, mask = np.ones((2, 6, 8), "float32"), np.ones((2, 6), bool)
    >>> tuple(UserInstrument(num_heads=2)(x, mask, np.ones((2, 5, 8), "float32")).shape)
    (2, 5, 8)

    Reference:
        [Si et al., 2023](https://doi.org/10.1145/3582425)
    """

    def __init__(self, num_heads: int = 8, **kwargs) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.attention = MaskedAttention(
            num_heads, name="attention", dtype=self.dtype_policy
        )

    def build(self, queries_shape, mask_shape=None, candidates_shape=None):
        width = queries_shape[-1]
        self.linear = self._dense(width, "linear", width)
        if candidates_shape is not None:
            self.of_candidate = self._dense(
                width, "of_candidate", width, use_bias=False
            )
        self.of_key = self._dense(width, "of_key", width)
        self.of_value = self._dense(width, "of_value", width, use_bias=False)
        self.logit = self._dense(1, "logit", width, use_bias=False)
        self.attention.build((None, None, width), (None, None, width))

    def call(self, queries: Any, mask: Any, candidates: Any = None) -> Any:
        x = self.linear(queries)
        y = self.attention(x, x, mask)
        hidden = self.of_key(y)[:, None, :, :]
        if candidates is not None:
            hidden = self.of_candidate(candidates)[:, :, None, :] + hidden
        logits = ops.squeeze(self.logit(ops.tanh(hidden)), axis=-1)
        weights = masked_softmax(ops.cast(logits, "float32"), mask[:, None, :])
        pooled = ops.matmul(ops.cast(weights, y.dtype), self.of_value(y))
        return ops.squeeze(pooled, axis=1) if candidates is None else pooled

    def compute_output_shape(
        self, queries_shape, mask_shape=None, candidates_shape=None
    ):
        return candidates_shape or (queries_shape[0], queries_shape[-1])

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads}
