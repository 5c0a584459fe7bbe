"""The simulated dataset of the quickstart."""

import time
from pathlib import Path

from pipelines import simulate

_SIZES = {"num_users": 500, "num_items": 600, "search_share": 0.5}
_SECONDS = 600  # That another worker may take to make it.


def make_where_missing(folder: str, seed: int, is_first_worker: bool) -> None:
    """Makes the dataset folder where it is missing; of several workers, the first does.

    Args:
        folder: The dataset folder.
        seed: Seed of every draw.
        is_first_worker: Whether this process is the one that makes it.

    Raises:
        TimeoutError: The first worker does not make it.
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
    raise TimeoutError(f"{path} does not appear: the first worker should make it")
