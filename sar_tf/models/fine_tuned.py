"""Models that are trained in two stages: on all tasks, then a copy on each task."""

from sar_tf.models.base import Model
from sar_tf.settings import Weight


class FineTuned(Model):
    """A model that is trained on all its tasks, and then, as a copy, on each one.

    A run trains it until validation stops improving. Then each task has a copy of its
    best epoch, which is trained on this task alone, with an optimizer of its own, until
    the task's validation stops improving; this copy scores the task. The copies share
    no weight. How the second stage is trained is not known of the papers' models: here
    as the first one, with a lower learning rate.

    Args:
        spec, tables, tasks: As `Model`.
        fine_tuning_rate: Factor of the run's learning rate in the second stage; 0 has
            no second stage. A model of one task has none.
    """

    def __init__(self, spec, tables=None, *, fine_tuning_rate: Weight = 0.1, **kwargs):
        super().__init__(spec, tables, **kwargs)
        self.fine_tuning_rate = fine_tuning_rate
