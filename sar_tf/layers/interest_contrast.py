"""Similar and dissimilar interests of a history, and their triplet loss."""

from typing import Any

import keras
from keras import layers, ops

from sar_tf.layers.masking import masked_mean

# Names of the thresholds in Table 4. A slot is similar if its weight reaches it.
SPLITS = ("mean", "median", "1/8", "1/16")

# Added inside the distance, as in PyTorch: the gradient at distance 0 is finite.
_DISTANCE_EPSILON = 1e-6


def split_interests(weights: Any, mask: Any, split: str = "mean") -> tuple[Any, Any]:
    """Splits slots into similar and dissimilar interests (Eq. 11 and 12).

    Slots whose co-attention weight reaches the threshold are similar to the
    other history (P), the others are not (N). The threshold is the `mean` of
    the history's weights (one over its number of slots), their `median`, 1/8
    or 1/16. If a side is empty, as when all weights are equal, it gets all slots.

    Both rules follow the official code: Eq. 11 puts a weight that equals the
    threshold into N, and it leaves a side empty.

    Args:
        weights: `(B, N)`, 0 in empty slots.
        mask: bool `(B, N)`, non-empty slots.
        split: one of `SPLITS`.

    Returns:
        The masks of P and N, bool `(B, N)`; all false for an empty history.

    Reference:
        [Si et al., 2023](https://doi.org/10.1145/3539618.3591786)
    """
    is_similar = weights >= _threshold(weights, mask, split)
    similar = ops.logical_and(mask, is_similar)
    dissimilar = ops.logical_and(mask, ops.logical_not(is_similar))
    return _all_if_empty(similar, mask), _all_if_empty(dissimilar, mask)


def _threshold(weights, mask, split):
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
    if split == "median":
        return _masked_median(weights, mask)
    if split == "mean":
        length = ops.sum(ops.cast(mask, weights.dtype), axis=-1, keepdims=True)
        return 1.0 / ops.maximum(length, 1.0)
    return 1.0 / int(split.removeprefix("1/"))


def _masked_median(weights, mask):
    """Median over the slots of `mask`, `(B, 1)`: the mean of the two middle weights."""
    length = ops.sum(ops.cast(mask, "int32"), axis=-1, keepdims=True)
    # Weights are at most 1, so the value 2 sorts empty slots last.
    ordered = ops.sort(ops.where(mask, weights, 2.0), axis=-1)
    lower = ops.take_along_axis(ordered, ops.maximum(length - 1, 0) // 2, axis=-1)
    upper_index = ops.minimum(length // 2, ops.shape(weights)[-1] - 1)
    upper = ops.take_along_axis(ordered, upper_index, axis=-1)
    return 0.5 * (lower + upper)


def _all_if_empty(side, mask):
    return ops.where(ops.any(side, axis=-1, keepdims=True), side, mask)


def interest_vectors(
    encoded: Any, weights: Any, similar: Any, dissimilar: Any, mask: Any
) -> tuple[Any, Any, Any, Any]:
    """Anchor, positive and negative of the triplet loss (Eq. 13 and 14).

    Args:
        encoded: `(B, N, D)`.
        weights: `(B, N)`, co-attention weights.
        similar: bool `(B, N)`, P.
        dissimilar: bool `(B, N)`, N.
        mask: bool `(B, N)`, non-empty slots.

    Returns:
        The anchor (weighted sum of the slots), the mean of P and the mean of N,
        each float32 `(B, D)`; bool `(B,)`, true for a non-empty history.
    """
    # The rounding of bfloat16 is as large as the distances of these vectors.
    encoded = ops.cast(encoded, "float32")
    weights = ops.cast(weights, "float32")[:, None, :]
    return (
        ops.squeeze(ops.matmul(weights, encoded), axis=1),
        masked_mean(encoded, similar, axis=-2),
        masked_mean(encoded, dissimilar, axis=-2),
        ops.any(mask, axis=-1),
    )


@keras.saving.register_keras_serializable("sar_tf")
class TripletInterestContrast(layers.Layer):
    """Triplet loss between the interests of a history (Eq. 15).

    `max(d(a, p) - d(a, n) + m, 0)` with the Euclidean distance d. The loss pulls
    the anchor a (what the histories share) nearer to the similar interests p
    than to the dissimilar interests n, by a margin m.

    Args:
        margin: margin m.

    Call arguments:
        anchor: `(B, D)`, sum of the slots by their co-attention weights.
        positive: `(B, D)`, mean of the similar slots.
        negative: `(B, D)`, mean of the dissimilar slots.

    Returns:
        The loss of each history, float32 `(B,)`. A history of one slot has
        a = p = n and costs m. An empty history costs m too; the caller leaves it
        out of the mean. (The official mean is over all histories.)

    Reference:
        [Si et al., 2023](https://doi.org/10.1145/3539618.3591786)
    """

    def __init__(self, margin: float = 0.1, **kwargs) -> None:
        # Inputs stay in float32.
        super().__init__(autocast=False, **kwargs)
        self.margin = margin

    def call(self, anchor: Any, positive: Any, negative: Any) -> Any:
        return ops.relu(
            _distance(anchor, positive) - _distance(anchor, negative) + self.margin
        )

    def compute_output_shape(self, anchor_shape, *other_shapes, **named_shapes):
        return anchor_shape[:1]

    def get_config(self):
        return {**super().get_config(), "margin": self.margin}


def _distance(a, b):
    difference = ops.cast(a, "float32") - ops.cast(b, "float32") + _DISTANCE_EPSILON
    return ops.sqrt(ops.sum(ops.square(difference), axis=-1))
