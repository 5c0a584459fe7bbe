"""Similar and dissimilar interests of a history, and their triplet loss."""

import keras
from keras import layers, ops

from sar_tf.layers.masking import masked_mean

# Table 4: the weight from which a slot is similar, by name.
SPLITS = ("mean", "median", "1/8", "1/16")

# Inside the distance, as PyTorch has it: the gradient at distance 0 is finite.
_DISTANCE_EPSILON = 1e-6


def split_interests(weights, mask, split="mean"):
    """Splits slots into similar and dissimilar interests (Eq. 11 and 12).

    Slots whose co-attention weight reaches the threshold are similar to the
    other history (P), the others are not (N). The threshold is that history's
    `mean` weight, which is one over the number of its slots, the `median` of
    its weights, or 1/8 or 1/16. A side that stays empty, as one does where
    all weights are equal, gets all slots.

    Both as the official code has it: Eq. 11 puts a weight that equals the
    threshold into N, and leaves a side empty.

    Args:
        weights: `(B, N)`, 0 in empty slots.
        mask: bool `(B, N)`, non-empty slots.
        split: one of `SPLITS`.

    Returns:
        bool `(B, N)` of P and of N; false everywhere for an empty history.

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
    """Median over the slots of `mask`, `(B, 1)`: mean of the two in the middle."""
    length = ops.sum(ops.cast(mask, "int32"), axis=-1, keepdims=True)
    # Weights are at most 1, so that empty slots come last.
    ordered = ops.sort(ops.where(mask, weights, 2.0), axis=-1)
    lower = ops.take_along_axis(ordered, ops.maximum(length - 1, 0) // 2, axis=-1)
    upper_index = ops.minimum(length // 2, ops.shape(weights)[-1] - 1)
    upper = ops.take_along_axis(ordered, upper_index, axis=-1)
    return 0.5 * (lower + upper)


def _all_if_empty(side, mask):
    return ops.where(ops.any(side, axis=-1, keepdims=True), side, mask)


def interest_vectors(encoded, weights, similar, dissimilar, mask):
    """What the triplet loss compares in a history (Eq. 13 and 14).

    Args:
        encoded: `(B, N, D)`.
        weights: `(B, N)`, of co-attention.
        similar: bool `(B, N)`, P.
        dissimilar: bool `(B, N)`, N.
        mask: bool `(B, N)`, non-empty slots.

    Returns:
        The anchor, the sum of the slots by weight, and the means of P and N,
        each float32 `(B, D)`; bool `(B,)`, whether there is any slot.
    """
    # Their distances are of the order of the rounding of bfloat16.
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

    `max(d(a, p) - d(a, n) + m, 0)` with the Euclidean distance d: what the
    histories share (the anchor a) is nearer to the similar interests p than
    to the dissimilar n, by a margin m.

    Args:
        margin: m.

    Call arguments:
        anchor: `(B, D)`, sum of the slots by their co-attention weights.
        positive: `(B, D)`, mean of the similar slots.
        negative: `(B, D)`, mean of the dissimilar slots.

    Returns:
        The loss of each history, float32 `(B,)`. A history of one slot has
        a = p = n and costs m, as does an empty one, which the caller leaves out
        of the mean. (The official mean is over all histories.)

    Reference:
        [Si et al., 2023](https://doi.org/10.1145/3539618.3591786)
    """

    def __init__(self, margin=0.1, **kwargs):
        # Inputs stay in float32.
        super().__init__(autocast=False, **kwargs)
        self.margin = margin

    def call(self, anchor, positive, negative):
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
