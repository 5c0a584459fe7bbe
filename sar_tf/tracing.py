"""Repeated parts of a TensorFlow graph, traced once."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf


def trace_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is traced once, however often a graph calls it.

    A model runs the same layers for each group of histories. Python traces them once;
    TensorFlow then copies the traced graph for each call, so that the steps are as fast
    as those of a graph that Python wrote out.

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
    )

    @functools.wraps(function)
    def call(*args, **kwargs):
        if tf.executing_eagerly():
            return function(*args, **kwargs)
        return traced(*args, **kwargs)

    return call
