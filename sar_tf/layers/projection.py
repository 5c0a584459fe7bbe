"""Projection on the span of a few vectors."""

from typing import Any

from keras import ops

_SMALLEST = 1e-8  # Added to the diagonal, whatever the scale of the vectors.


def project_on_span(x: Any, spanning: Any, ridge: float = 1e-4) -> Any:
    """The part of a vector that other vectors explain, by regularised regression.

        fit = Z (Z^T Z + eps I)^-1 Z^T x,  eps = ridge * trace(Z^T Z) / N + 1e-8

    It is computed in float32. Vectors that are zero explain nothing.

    Args:
        x: `(..., D)`.
        spanning: `(..., N, D)`, the columns of Z.
        ridge: Share of the vectors' mean squared length that is added to the diagonal.
            It keeps gradients finite where vectors are parallel.

    Returns:
        `(..., D)`.

    Example:

    >>> import numpy as np
    >>> x, z = np.array([[3.0, 4.0]]), np.array([[[2.0, 0.0]]])
    >>> project_on_span(x, z, ridge=0.0).numpy().round(3).tolist()
    [[3.0, 0.0]]
    """
    z = ops.cast(spanning, "float32")
    number = z.shape[-2]
    gram = ops.matmul(z, ops.swapaxes(z, -1, -2))
    products = ops.matmul(z, ops.cast(x, "float32")[..., None])
    scale = ops.mean(ops.sum(ops.square(z), axis=-1), axis=-1)
    diagonal = (ridge * scale + _SMALLEST)[..., None, None]
    gram = gram + diagonal * ops.eye(number)
    weights = ops.solve(gram, products)
    fit = ops.matmul(ops.swapaxes(weights, -1, -2), z)
    return ops.cast(ops.squeeze(fit, axis=-2), x.dtype)
