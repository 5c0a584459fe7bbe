"""Co-attention of both histories: how much each slot shares with the other history."""

from typing import Any

import keras
from keras import layers, ops

from sar_tf.layers.masking import masked_softmax


@keras.saving.register_keras_serializable("sar_tf")
class CoAttention(layers.Layer):
    """Weighs each history's slots by their affinity to the other (Eq. 9, 10).

    With the affinities `A = tanh(H_r W_l H_s^T)` of all pairs of slots,

        a^s = softmax(w_r H_r^T A),    a^r = softmax(w_s H_s^T A^T).

    The softmax runs over the non-empty slots.

    `paper`: the products with A sum over the other history's non-empty slots.

    `reference` (the official code): they sum over all slots of the other
    history. Empty slots count too, so the weights depend on the padding. A
    history without any behavior adds 0.

    Args:
        variant: "reference" or "paper".

    Call arguments:
        rec: `(B, Nr, D)`, encoded recommendation history H_r.
        search: `(B, Ns, D)`, encoded search history H_s.
        rec_mask: bool `(B, Nr)`, non-empty slots.
        search_mask: bool `(B, Ns)`.

    Returns:
        a^r `(B, Nr)` and a^s `(B, Ns)` in float32: 0 in empty slots. If the other
        history is empty, all non-empty slots have equal weights.

    Example:

    >>> from keras import ops
    >>> rec, search = ops.ones((2, 3, 8)), ops.ones((2, 5, 8))
    >>> masks = ops.ones((2, 3), "bool"), ops.ones((2, 5), "bool")
    >>> [tuple(weights.shape) for weights in CoAttention()(rec, search, *masks)]
    [(2, 3), (2, 5)]

    Reference:
        [Si et al., 2023](https://doi.org/10.1145/3539618.3591786)
    """

    def __init__(self, variant: str = "reference", **kwargs) -> None:
        super().__init__(**kwargs)
        if variant not in ("reference", "paper"):
            raise ValueError(f"variant must be 'reference' or 'paper', not {variant!r}")
        self.variant = variant

    def build(self, rec_shape, *other_shapes, **named_shapes):
        width = rec_shape[-1]
        self.affinity_kernel = self.add_weight(
            name="affinity_kernel", shape=(width, width), initializer="glorot_normal"
        )
        self.rec_kernel = self._vector("rec_kernel", width)
        self.search_kernel = self._vector("search_kernel", width)

    def _vector(self, name, width):
        # Glorot's rule for a row vector (1, D).
        normal = keras.initializers.RandomNormal(stddev=(2 / (1 + width)) ** 0.5)
        return self.add_weight(name=name, shape=(width,), initializer=normal)

    def call(self, rec: Any, search: Any, rec_mask: Any, search_mask: Any) -> Any:
        projected = ops.matmul(rec, self.affinity_kernel)
        affinity = ops.tanh(ops.matmul(projected, ops.swapaxes(search, -1, -2)))
        affinity = ops.cast(affinity, "float32")
        rec_scores = self._scores(rec, self.rec_kernel, rec_mask)
        search_scores = self._scores(search, self.search_kernel, search_mask)
        return (
            masked_softmax(ops.einsum("bs,brs->br", search_scores, affinity), rec_mask),
            masked_softmax(ops.einsum("br,brs->bs", rec_scores, affinity), search_mask),
        )

    def _scores(self, encoded, kernel, mask):
        """`w H^T` in float32 `(B, N)`, 0 in slots that do not count."""
        if self.variant == "reference":
            mask = ops.any(mask, axis=-1, keepdims=True)
        scores = ops.cast(ops.matmul(encoded, kernel), "float32")
        return scores * ops.cast(mask, "float32")

    def compute_output_shape(self, rec_shape, search_shape, *others, **named_shapes):
        return rec_shape[:-1], search_shape[:-1]

    def get_config(self):
        return {**super().get_config(), "variant": self.variant}
