"""Learning rates that follow the number of steps."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable("sar_tf")
class WarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rises from 0 in a straight line, then falls by a cosine or in a straight line.

    With p the share of the steps after the warm-up that are done:

        cosine: lowest + (peak - lowest) (1 + cos(pi p)) / 2
        linear: lowest + (peak - lowest) (1 - p)

    Args:
        peak: Learning rate at the end of the warm-up.
        total_steps: Steps of the whole training, with the warm-up.
        warmup_steps: Steps of the warm-up; 0 begins at the peak.
        lowest: Learning rate after the last step.
        shape: "cosine" or "linear".

    Call arguments:
        step: Steps that are done.

    Returns:
        The learning rate of the next step, a scalar.

    Example:

    >>> rate = WarmupDecay(1.0, total_steps=10, warmup_steps=2, shape="linear")
    >>> [round(float(rate(step)), 2) for step in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """

    def __init__(self, peak, total_steps, warmup_steps=0, lowest=0.0, shape="cosine"):
        super().__init__()
        if shape not in ("cosine", "linear"):
            raise ValueError(f"shape must be cosine or linear, not {shape!r}")
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(
                f"warmup_steps={warmup_steps} must be fewer than the "
                f"{total_steps} steps of the training"
            )
        self.peak = peak
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps
        self.lowest = lowest
        self.shape = shape

    def __call__(self, step):
        step = ops.cast(step, "float32")
        # The first step already moves the weights.
        rising = self.peak * (step + 1) / max(self.warmup_steps, 1)
        done = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        done = ops.clip(done, 0.0, 1.0)
        left = (1 + ops.cos(math.pi * done)) / 2 if self.shape == "cosine" else 1 - done
        falling = self.lowest + (self.peak - self.lowest) * left
        return ops.where(step < self.warmup_steps, rising, falling)

    def get_config(self):
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "lowest": self.lowest,
            "shape": self.shape,
        }
