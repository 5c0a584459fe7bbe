"""From the behaviors of each part's users to shards, in processes of one machine."""

import functools
from typing import TYPE_CHECKING

import numpy as np

from pipelines.common.behaviors import Grouped, session_codes
from pipelines.common.codes import CODES, load_codes
from pipelines.common.disk import open_arrays
from pipelines.common.k_core import Kept, Totals, filter_interactions
from pipelines.common.processes import ProcessPool
from pipelines.common.staging import Staging
from sar_tf.paths import AnyPath
from sar_tf.startup import import_tensorflow

if TYPE_CHECKING:
    from pipelines.common.sequences import Settings
    from pipelines.common.writer import Summary


class LocalParts:
    """The end of a job, from the files that `save_behaviors` saved; use it in a `with`.

    Args:
        staging: The folders to fill.
        num_parts: Number of parts of the users.
    """

    def __init__(self, staging: Staging, num_parts: int):
        self._shards = staging.shards
        self._work = staging.work
        self._num_parts = num_parts
        self._pool = ProcessPool(num_parts, prepare=import_tensorflow)
        self._grouped: list[Grouped] = []
        self._kept = Kept([], np.zeros(0, bool))

    def __enter__(self):
        self._pool.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self._pool.__exit__(*error)

    def _filter(self, num_items: int, min_interactions: int, need_both: bool) -> Kept:
        """Drops users and items with few interactions, see `filter_interactions`."""
        self._kept = filter_interactions(
            self._paths(), num_items, min_interactions, need_both
        )
        return self._kept

    def totals(self) -> Totals:
        """What is left after each rule before `filter`."""
        return Totals.of(self._grouped, len(self._kept.items))

    def _kept_users(self) -> np.ndarray:
        """The sorted keys of the kept users."""
        users = []
        for path, is_kept in self._parts():
            with open_arrays(path) as arrays:
                users.append(arrays["users"][is_kept])
        return np.sort(np.concatenate(users))

    def count_codes(self) -> dict[str, np.ndarray]:
        """For "query" and "source", the number of kept sessions of each code."""
        counts = {}
        for kind in CODES:
            size = len(load_codes(self._work, kind))
            counts[kind] = np.zeros(size, np.int64)
            for path, is_kept in self._parts():
                codes = session_codes(path, is_kept, kind)
                counts[kind] += np.bincount(codes, minlength=size)
        return counts

    def write_records(self, settings: "Settings") -> "Summary":
        """Writes the shards, with the dense ids that `DenseIds.save` saved."""
        from pipelines.common.sequences import write_part
        from pipelines.common.writer import sum_up

        write = functools.partial(
            write_part,
            num_parts=self._num_parts,
            work=self._work,
            directory=self._shards,
            settings=settings,
        )
        shards = self._pool.map(write, range(self._num_parts), self._paths())
        return sum_up(shards, settings.num_items, self._kept.num_users)

    def _paths(self) -> list[AnyPath]:
        return [part.path for part in self._grouped]

    def _parts(self):
        return zip(self._paths(), self._kept.users, strict=True)
