"""Sessions: behaviors of a user without a long pause between them."""

from typing import NamedTuple

import tensorflow as tf

# Below, times are seconds since 1970, here in the year 5138; from here on
# milliseconds, here in 1973. The jobs take times from 1990 on alone.
_FIRST_MILLISECONDS = 10**11


class Sessions(NamedTuple):
    """Which session behaviors and targets are in, as `number_sessions` counts them."""

    of_behavior: tf.Tensor  # (N,)
    of_target: tf.Tensor  # (T,)


def is_pause(before: tf.Tensor, after: tf.Tensor, minutes: int) -> tf.Tensor:
    """Whether more than some minutes lie between times: bool, as `before`.

    Args:
        before, after: int64 of one shape, seconds or milliseconds since 1970.
        minutes: The longest time between behaviors of one session.
    """
    is_fine = after >= _FIRST_MILLISECONDS
    minute = tf.where(is_fine, tf.constant(60_000, tf.int64), 60)
    return after - before > minutes * minute


def number_sessions(times: tf.Tensor, minutes: int) -> tf.Tensor:
    """Number of pauses before each behavior: int32 `(N,)`.

    Only differences within a user mean something: behaviors of one user with the same
    number are in one session.

    Args:
        times: int64 `(N,)`, seconds or milliseconds since 1970, users laid end to end.
        minutes: The longest time between behaviors of one session.
    """
    starts = tf.pad(is_pause(times[:-1], times[1:], minutes), [[1, 0]])
    return tf.cumsum(tf.cast(starts[: tf.size(times)], tf.int32))
