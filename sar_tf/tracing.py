"""TensorFlow graphs that hold a repeated part once."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf


def trace_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose calls inside one graph share one traced graph of their own.

    A model runs the same layers for each group of histories. Written out one after
    another, six groups make a graph of six times the size, which takes most of the
    time before the first step.

    Args:
        function: Of tensors; what else it takes must be hashable. It must not need the
            replica that it runs on.

    Returns:
        The function; executed eagerly it is the same as before.
    """
    traced = tf.function(
        function,
        autograph=False,
        reduce_retracing=True,
        # Else TensorFlow puts the copies back before it optimizes the graph.
        experimental_attributes={"_noinline": True},
    )

    @functools.wraps(function)
    def call(*args, **kwargs):
        if tf.executing_eagerly():
            return function(*args, **kwargs)
        return traced(*args, **kwargs)

    return call
