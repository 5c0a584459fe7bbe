"""Cross-entropy of an item among itself and drawn items."""

from typing import Any

from keras import ops

_NEVER = -1e30  # Logit of a drawn item that does not count.


def sampled_softmax_loss(
    asked: Any, positive: Any, sampled: Any, is_positive: Any
) -> Any:
    """`-log(exp(<o, e>) / (exp(<o, e>) + sum_s exp(<o, e_s>)))` of each vector o.

    Args:
        asked: `(..., D)`, the vectors o.
        positive: `(..., D)`, the items e.
        sampled: `(S, D)`, the drawn items, the same for all vectors.
        is_positive: bool `(..., S)`, true where a drawn item is the positive, and so
            does not count.

    Returns:
        float32 `(...)`; 0 where no drawn item counts.
    """
    own = ops.cast(ops.sum(asked * positive, axis=-1), "float32")
    others = ops.cast(ops.matmul(asked, ops.transpose(sampled)), "float32")
    others = ops.where(is_positive, _NEVER, others)
    return ops.softplus(ops.logsumexp(others, axis=-1) - own)
