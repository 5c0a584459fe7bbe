"""What a loss needs of the other replicas that share a training step.

A step's batch may be spread over replicas, each with some of its rows. A loss is
the mean over all rows of all replicas, so each replica computes its own rows' part:
its own sum, divided by the number of all. The parts add up to the loss, and their
gradients to its gradient.
"""


class Replicas:
    """The only replica: all rows are its own."""

    number = 1

    def sum(self, x):
        """Sum of `x` over the replicas; no gradient goes through it."""
        return x

    def gather(self, x):
        """The rows of `x` of all replicas, in their order: `(B, ...) -> (G, ...)`."""
        return x

    def first_row(self, x):
        """Place of the first of this replica's rows `x` among all: an integer."""
        return 0


_active = Replicas()


def active():
    """The `Replicas` that the losses of this process use."""
    return _active


def use(replicas):
    """Makes all losses of this process use `replicas`, from their next trace on."""
    global _active
    _active = replicas
