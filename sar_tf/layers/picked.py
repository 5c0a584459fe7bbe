"""What a loss counts, without the rest."""

from typing import Any

import keras
from keras import ops


def pick(mask: Any, arrays: Any) -> Any:
    """The entries where a mask is true, one after another.

    Args:
        mask: bool `(B,)` or `(B, N)`.
        arrays: A structure of arrays whose first axes are the mask's: `(B, ...)`, or
            `(B, N)` and `(B, N, D)`.

    Returns:
        The same structure, `(P, ...)`, P being the number of these entries.
    """
    (places,) = ops.nonzero(ops.reshape(mask, (-1,)))

    def take(x):
        if len(mask.shape) > 1:
            x = ops.reshape(x, (-1, *x.shape[len(mask.shape) :]))
        return ops.take(x, places, axis=0)

    return keras.tree.map_structure(take, arrays)
