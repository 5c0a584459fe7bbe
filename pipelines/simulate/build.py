"""Makes a dataset from simulated logs, for the quickstart and for tests."""

import os

from pipelines import kuaisar
from pipelines.simulate.logs import write_logs
from sar_tf.files import folder_beside
from sar_tf.paths import as_path


def build_dataset(
    dataset_dir: str | os.PathLike,
    num_users: int = 2000,
    num_items: int = 4000,
    search_share: float = 0.28,
    seed: int = 1,
) -> None:
    """Simulates logs into a temporary folder and makes a dataset with the KuaiSAR job.

    Args:
        dataset_dir: Folder to make; it appears when complete.
        num_users: Number of users in the logs.
        num_items: Number of items in the catalogue; at least 400.
        search_share: Share of search sessions, see `write_logs`.
        seed: Seed of all random draws.

    Raises:
        UserError: A size is too small, or dataset_dir already holds files.
    """
    sizes = f"{num_users=}, {num_items=}, {search_share=}, {seed=}"
    with folder_beside(as_path(dataset_dir)) as folder:
        logs = folder / "logs"
        write_logs(
            logs,
            num_users=num_users,
            num_items=num_items,
            search_share=search_share,
            seed=seed,
        )
        kuaisar.build_dataset(
            dataset_dir,
            input_dir=logs,
            seed=seed,
            command=f"pipelines.simulate.build_dataset(dataset_dir, {sizes})",
        )
