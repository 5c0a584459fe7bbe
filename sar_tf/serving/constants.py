"""Small weights as constants of a graph."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager

import keras
from keras import ops

from sar_tf.models import Model

# Numbers of a weight that a graph holds. The tables of ids stay variables: a graph may
# have 2 GB, and they are read once for all signatures.
_LARGEST = 1 << 18


def with_constants(model: Model) -> tuple[Callable[[], AbstractContextManager], list]:
    """Makes graphs read a model's small weights as constants.

    What follows from constants alone (joined kernels of experts, slices of kernels,
    rows of position tables) is then computed once, when the graph is optimized for its
    first call, and not in each request.

    Args:
        model: A model whose weights do not change any more.

    Returns:
        What makes a context, which is entered while a graph is traced; and the weights
        that remain variables.
    """
    small, large = [], []
    for variable in model.variables:
        if math.prod(variable.shape) > _LARGEST:
            large.append(variable)
        else:
            # Copied here: a value cannot be read while a graph is traced.
            small.append((variable, ops.convert_to_numpy(variable)))
    return lambda: keras.StatelessScope(small), large
