"""Functions of masks: bool, true where a slot holds something."""

from typing import Any

from keras import ops

# Large enough that exp() of a masked logit is 0 in float32 and bfloat16.
MASKED_LOGIT = -1e9


def softmax(logits: Any) -> Any:
    """Softmax over the last axis. Keras' own warns if the axis has one slot."""
    if logits.shape[-1] == 1:
        return ops.ones_like(logits)
    return ops.softmax(logits, axis=-1)


def key_mask_bias(mask: Any) -> Any:
    """Additive bias `(B, 1, 1, N)` in float32 that masks keys out."""
    return mask_bias(mask)[:, None, None, :]


def mask_bias(mask: Any) -> Any:
    """Additive bias in float32: 0 where a mask of any shape is true."""
    return ops.where(mask, ops.zeros((), "float32"), MASKED_LOGIT)


def masked_mean(values: Any, mask: Any, axis: int) -> Any:
    """Mean of `values` over `axis` where `mask` is true; 0 if it is never true.

    Args:
        values: `(..., N, D)`.
        mask: bool `(..., N)`.
        axis: axis N of `values`, negative.
    """
    weights = ops.expand_dims(ops.cast(mask, values.dtype), -1)
    total = ops.sum(values * weights, axis=axis)
    count = ops.sum(weights, axis=axis)
    return total / ops.maximum(count, 1)


def masked_softmax(logits: Any, mask: Any) -> Any:
    """Softmax over the slots of `mask`, exactly 0 in the others: `(B, N)`."""
    kept = ops.cast(mask, logits.dtype)
    return softmax(logits + (1.0 - kept) * MASKED_LOGIT) * kept


def future_bias(num_queries: int, num_keys: int) -> Any:
    """Additive bias `(Nq, N)` that hides the keys after each of the last Nq slots.

    It is lower than the bias of empty slots: a query that sees only empty slots puts
    all its weight on them, and none on the future.
    """
    keys = ops.arange(num_keys)
    queries = ops.arange(num_queries) + (num_keys - num_queries)
    is_future = keys[None, :] > queries[:, None]
    return ops.where(is_future, 2 * MASKED_LOGIT, 0.0)
