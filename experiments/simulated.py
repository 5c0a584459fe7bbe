"""The simulated dataset of the quickstart."""

import time
from pathlib import Path

from pipelines import simulate

_SIZES = {"num_users": 500, "num_items": 600, "search_share": 0.5}
_SECONDS = 600  # Longest wait for another worker to make it.


def make_where_missing(folder: str, seed: int, is_first_worker: bool) -> None:
    """Makes the dataset folder if it is missing; only the first worker makes it.

    Args:
        folder: The dataset folder.
        seed: Seed of all random draws.
        is_first_worker: Whether this process makes the folder.

    Raises:
        TimeoutError: The first worker has not made it in time.
    """
    path = Path(folder).resolve()
    if path.exists():
        return
    if is_first_worker:
        simulate.build_dataset(path, **_SIZES, seed=seed)
        return
    for _ in range(_SECONDS):
        if path.exists():
            return
        time.sleep(1)
    raise TimeoutError(
        f"{path} is missing; the first worker has not made it in {_SECONDS} seconds"
    )
