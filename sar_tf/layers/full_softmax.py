"""Cross-entropy of an item among all items, in little memory."""

from typing import Any

import keras
from keras import ops

_TOGETHER = 4096  # Items whose logits are in memory at once.


def full_softmax_loss(asked: Any, positive: Any, items: Any) -> Any:
    """`-log(exp(<o, e>) / sum_i exp(<o, e_i>))` of each vector o.

    The logits of some thousand items are computed at a time, and once more for the
    gradient, so that the memory does not grow with the number of items.

    Args:
        asked: `(..., D)`, the vectors o.
        positive: `(..., D)`, the items e.
        items: `(S, D)`, all items, the positives among them; S is static.

    Returns:
        float32 `(...)`.
    """
    log_sum = keras.remat(_log_sum)
    starts = range(0, items.shape[0], _TOGETHER)
    parts = [log_sum(asked, items[start : start + _TOGETHER]) for start in starts]
    own = ops.cast(ops.sum(asked * positive, axis=-1), "float32")
    return ops.logsumexp(ops.stack(parts, axis=-1), axis=-1) - own


def _log_sum(asked, items):
    logits = ops.matmul(asked, ops.transpose(items))
    return ops.logsumexp(ops.cast(logits, "float32"), axis=-1)
