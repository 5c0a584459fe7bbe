"""Masks: bool, true where a slot holds something."""

from keras import ops

# Large enough that exp() of a masked logit is 0 in float32 and bfloat16.
MASKED_LOGIT = -1e9


def softmax(logits):
    """Softmax over the last axis, which may have one slot: Keras warns there."""
    if logits.shape[-1] == 1:
        return ops.ones_like(logits)
    return ops.softmax(logits, axis=-1)


def key_mask_bias(mask):
    """Additive bias `(B, 1, 1, N)` in float32 that masks keys out."""
    bias = (1.0 - ops.cast(mask, "float32")) * MASKED_LOGIT
    return bias[:, None, None, :]


def masked_mean(values, mask, axis):
    """Mean of `values` over `axis` where `mask` holds; 0 where nothing does.

    Args:
        values: `(..., N, D)`.
        mask: bool `(..., N)`.
        axis: the axis N counted in `values` (negative).
    """
    weights = ops.expand_dims(ops.cast(mask, values.dtype), -1)
    total = ops.sum(values * weights, axis=axis)
    count = ops.sum(weights, axis=axis)
    return total / ops.maximum(count, ops.ones_like(count))


def masked_softmax(logits, mask):
    """Softmax over the slots of `mask`, exactly 0 in the others: `(B, N)`."""
    kept = ops.cast(mask, logits.dtype)
    return softmax(logits + (1.0 - kept) * MASKED_LOGIT) * kept
