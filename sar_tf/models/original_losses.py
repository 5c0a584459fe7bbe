"""What the losses of several papers have in common."""

from typing import Any

from keras import ops

from sar_tf.spec import DataSpec

_MOST_ITEMS = 200_000  # In a softmax of 1,024 targets: 0.8 GB.


def softmax_loss(logits: Any) -> Any:
    """Cross-entropy of the first of some candidates among all of them, `(B,)`.

    Args:
        logits: `(B, C)`, the positive first.
    """
    return ops.logsumexp(logits, axis=1) - logits[:, 0]


def refuse_large_catalogue(spec: DataSpec) -> None:
    """Refuses a loss over all items where there are too many of them.

    Args:
        spec: Sizes of the dataset.

    Raises:
        ValueError: There are too many items.
    """
    if spec.num_items > _MOST_ITEMS:
        raise ValueError(
            f"original_loss scores all {spec.num_items:,} items for each target; it is "
            f"made for {_MOST_ITEMS:,} at most"
        )
