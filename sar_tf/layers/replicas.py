"""Exchange between the replicas of a training step, for the losses.

The rows of a batch may be split over replicas. A loss is the mean over the rows of
all replicas. Each replica computes its part: the sum over its own rows, divided by
the number of all rows. The parts add up to the loss, and their gradients to its
gradient.
"""

from typing import Any


class Replicas:
    """The only replica: all rows are its own."""

    number = 1

    def sum(self, x: Any) -> Any:
        """Sum of `x` over the replicas; no gradient goes through it."""
        return x

    def gather(self, x: Any) -> Any:
        """The rows of `x` of all replicas, in their order: `(B, ...) -> (G, ...)`."""
        return x

    def first_row(self, x: Any) -> Any:
        """Index of this replica's first row of `x` among the rows of all replicas."""
        return 0


_active = Replicas()


def active() -> Replicas:
    """The `Replicas` that the losses of this process use."""
    return _active


def use(replicas: Replicas) -> None:
    """Makes all losses of this process use `replicas`, from their next trace on."""
    global _active
    _active = replicas
