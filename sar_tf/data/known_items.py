"""The items that each user knows, which no ranking of the catalogue has again."""

import numpy as np

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.records import read_blocks
from sar_tf.data.schema import parse_records


class KnownItems:
    """The items that a user interacted with, in any split.

    No stored or drawn negative is one of them (see `schema.UserRecord.user_items`).
    They take 4 bytes for each item of each user in memory.

    Args:
        dataset: The dataset with the records.
    """

    def __init__(self, dataset: SequenceDataset) -> None:
        lengths = np.zeros(dataset.info.num_users + 2, np.int64)
        parts, users = [], []
        for serialized in read_blocks(dataset, None):
            block = parse_records(serialized, ("user", "user_items"))
            own = block["user"].numpy()
            lengths[own + 1] = np.diff(block["user_items_splits"].numpy())
            parts.append(block["user_items"].numpy().astype(np.int32))
            users.append(own)
        self._starts = np.cumsum(lengths)
        self._items = np.zeros(self._starts[-1], np.int32)
        for own, items in zip(users, parts, strict=True):
            _, place = self._places(own)
            self._items[place] = items

    def of(self, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The items of some users.

        Args:
            users: `(B,)` dense ids.

        Returns:
            `(M,)` the index of each item's user among these, and `(M,)` the items.
        """
        rows, places = self._places(users)
        return rows, self._items[places]

    def _places(self, users):
        starts = self._starts[users]
        lengths = self._starts[users + 1] - starts
        rows = np.repeat(np.arange(len(users)), lengths)
        firsts = np.cumsum(lengths) - lengths
        return rows, starts[rows] + np.arange(len(rows)) - firsts[rows]
