"""Cross-entropies of the items that follow a sequence's states."""

from typing import Any

from keras import ops

from sar_tf.layers.masking import masked_mean


def next_item_losses(states: Any, following: Any, drawn: Any) -> Any:
    """`-log sigmoid(<s_t, e_t>) - log(1 - sigmoid(<s_t, n_t>))` of each state s.

    Args:
        states: `(B, N, D)`.
        following: `(B, N, D)`, e: the item that follows each state.
        drawn: `(B, N, D)`, n: an item that does not.

    Returns:
        float32 `(B, N)`.
    """
    to_next, to_drawn = (
        ops.cast(ops.sum(states * x, axis=-1), "float32") for x in (following, drawn)
    )
    return ops.softplus(-to_next) + ops.softplus(to_drawn)


def next_items_losses(states: Any, following: Any, is_item: Any, drawn: Any) -> Any:
    """`-mean_i log sigmoid(<s_t, e_ti>) - sum_n log(1 - sigmoid(<s_t, n>))`.

    Args:
        states: `(B, N, D)`, s.
        following: `(B, N, K, D)`, e: the items that follow each state.
        is_item: bool `(B, N, K)`, which of them there are.
        drawn: `(B, M, D)`, n: items that follow no state of their row.

    Returns:
        float32 `(B, N)`.
    """
    to_next = ops.cast(ops.einsum("bnd,bnkd->bnk", states, following), "float32")
    to_drawn = ops.cast(ops.einsum("bnd,bmd->bnm", states, drawn), "float32")
    costs = masked_mean(ops.softplus(-to_next)[..., None], is_item, axis=-2)[..., 0]
    return costs + ops.sum(ops.softplus(to_drawn), axis=-1)
