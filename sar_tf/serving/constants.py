"""Small weights as constants of a graph, and look-ups without checks."""

import contextlib
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import keras
import tensorflow as tf
from keras import ops

from sar_tf.layers.look_up import looked_up_by
from sar_tf.models import Model

# Numbers of a weight that a graph holds. The tables of ids stay variables: a graph may
# have 2 GB, and they are read once for all signatures.
_LARGEST = 1 << 18


def with_constants(model: Model) -> tuple[Callable[[], AbstractContextManager], list]:
    """Makes graphs read a model's small weights as constants.

    What follows from constants alone (joined kernels of experts, slices of kernels,
    rows of position tables) is then computed once, when the graph is optimized for its
    first call, and not in each request. Rows of tables are looked up by TensorFlow's
    own `gather`: `Model.score` leaves no negative ids.

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

    @contextlib.contextmanager
    def tracing() -> Iterator[None]:
        with keras.StatelessScope(small), looked_up_by(_gather):
            yield

    return tracing, large


def _gather(table, ids):
    return tf.gather(ops.convert_to_tensor(table), ids)
