"""Functions of rows for arrays of any rank, without shapes that are computed.

Where axes of an array are unknown, Keras' `ops.matmul` with a kernel computes the shape
of its result by a dozen operations on TensorFlow. Where only the first axis is unknown,
the functions here compute none: of one user's request they are a third of all
operations. Rows are of rank 2, so that TensorFlow fuses product, bias and ReLU.
"""

from collections.abc import Callable
from typing import Any

from keras import ops


def times(x: Any, kernel: Any, bias: Any = None) -> Any:
    """`x kernel + bias` over the last axis.

    Args:
        x: `(..., D)`.
        kernel: `(D, K)`.
        bias: `(K,)`; None adds nothing.

    Returns:
        `(..., K)`.
    """

    def product(rows):
        result = ops.matmul(rows, kernel)
        # `+` would not be fused with the product.
        return result if bias is None else ops.add(result, bias)

    return of_rows(product, x)


def of_rows(function: Callable[[Any], Any], x: Any) -> Any:
    """A function of each row of the last axis.

    Args:
        function: `(R, D) -> (R, K)`.
        x: `(..., D)`.

    Returns:
        `(..., K)`.
    """
    if len(x.shape) == 2:
        return function(x)
    rows = function(ops.reshape(x, (-1, x.shape[-1])))
    return ops.reshape(rows, (*sizes(x)[:-1], rows.shape[-1]))


def sizes(x: Any) -> tuple[Any, ...]:
    """The shape of x for `ops.reshape`, with -1 for the first axis if it can be that.

    Args:
        x: `(B, ...)`.
    """
    others = x.shape[1:]
    if None in others or 0 in others:
        return tuple(ops.shape(x))
    return (-1, *others)
