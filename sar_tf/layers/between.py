"""A constraint of weights that have a range."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("sar_tf")
class Between(keras.constraints.Constraint):
    """Keeps a weight between two numbers.

    Args:
        low, high: The numbers.
    """

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def __call__(self, w: Any) -> Any:
        return ops.clip(w, self.low, self.high)

    def get_config(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high}
