"""The (query, clicked item) pairs that search is trained on."""

import numpy as np

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.records import read_blocks
from sar_tf.data.schema import SPLITS, TASKS, parse_records

_FIELDS = (
    "query",
    "target_task",
    "target_split",
    "target_behavior",
    "target_item",
)


def read_training_pairs(dataset: SequenceDataset) -> tuple[np.ndarray, np.ndarray]:
    """The query and the positive of each training target of the search task.

    It reads all records once, whatever a worker's share of them is.

    Args:
        dataset: The dataset.

    Returns:
        Queries and items, int64 `(targets,)`, in the order of the records.
    """
    queries, items = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for serialized in read_blocks(dataset, None, 0, 1):
        flat = {k: v.numpy() for k, v in parse_records(serialized, _FIELDS).items()}
        users = np.arange(len(flat["target_splits"]) - 1)
        owners = np.repeat(users, np.diff(flat["target_splits"]))
        behaviors = flat["sequence_splits"][owners] + flat["target_behavior"]
        wanted = (flat["target_task"] == TASKS["search"]) & (
            flat["target_split"] == SPLITS["train"]
        )
        queries.append(flat["query"][behaviors[wanted]])
        items.append(flat["target_item"][wanted])
    return np.concatenate(queries), np.concatenate(items)
