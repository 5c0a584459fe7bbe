"""Rows of tables."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

from keras import ops

# A function (table, ids) -> rows; none is Keras' `take`.
_GATHER: contextvars.ContextVar[Callable[[Any, Any], Any] | None]
_GATHER = contextvars.ContextVar("gather", default=None)


def look_up(table: Any, ids: Any) -> Any:
    """Rows of a table: `(V, ...)`, int `(...) -> (..., ...)`.

    Args:
        table: The table.
        ids: Numbers of rows, from 0 to V - 1.
    """
    gather = _GATHER.get()
    return ops.take(table, ids, axis=0) if gather is None else gather(table, ids)


@contextlib.contextmanager
def looked_up_by(gather: Callable[[Any, Any], Any]) -> Iterator[None]:
    """Inside, `look_up` is a function of a backend.

    On TensorFlow, Keras' `take` counts negative ids from the table's end, which costs
    three operations a look-up, more than the look-up of few rows itself.

    Args:
        gather: A function (table, ids) -> rows.
    """
    token = _GATHER.set(gather)
    try:
        yield
    finally:
        _GATHER.reset(token)
