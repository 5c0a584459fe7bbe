"""Repeated rows of a log: one rule for all jobs, see `pipelines/README.md`."""

import numpy as np
import pandas as pd


def is_repeated(user: np.ndarray, item: np.ndarray, time: np.ndarray) -> np.ndarray:
    """[rows] whether an earlier row has the same user, item and time."""
    rows = pd.DataFrame({"user": user, "item": item, "time": time})
    return rows.duplicated().to_numpy()
