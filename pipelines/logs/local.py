"""The job's work in several processes of one machine."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.common.behaviors import Grouped
from pipelines.common.k_core import Kept, Totals, filter_interactions
from pipelines.common.processes import ProcessPool
from pipelines.common.rejects import Rejects
from pipelines.common.shuffle import count_parts
from pipelines.logs.group import CODES, BadPlace, group_part, load_codes
from pipelines.logs.logs import Logs, TableReader, read_events
from pipelines.logs.settings import Settings
from pipelines.logs.sources import Sources
from sar_tf.startup import import_tensorflow

if TYPE_CHECKING:
    from pipelines.common.sequences import Settings as RecordSettings
    from pipelines.common.writer import Summary
    from pipelines.logs.features import Features
    from pipelines.logs.tables import Owners


class LocalEngine:
    """Reads and writes in processes of this machine; use it in a `with`.

    Args:
        sources: The tables.
        settings: The rules.
        staging: The dataset's folder; its folder "work" holds the job's own files.
        rejects: Collects the malformed rows.
        max_bad_fraction: Largest share of malformed rows in a table.
    """

    def __init__(
        self,
        sources: Sources,
        settings: Settings,
        staging: Path,
        rejects: Rejects,
        max_bad_fraction: float,
    ):
        self._sources = sources
        self._settings = settings
        self._need_both = settings.keep == "both"
        self._staging = staging
        self._work = staging / "work"
        num_bytes = sum(piece.num_bytes for s in sources.events for piece in s.pieces)
        self._num_parts = count_parts(num_bytes)
        self._pool = ProcessPool(self._num_parts, prepare=import_tensorflow)
        self._reader = TableReader(self._work, self._pool, rejects, max_bad_fraction)
        self._grouped: list[Grouped] = []
        self._kept = Kept([], np.zeros(0, bool))

    def __enter__(self) -> "LocalEngine":
        self._pool.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self._pool.__exit__(*error)

    def read_events(self) -> Logs:
        """Reads all tables of events, see `logs.read_events`."""
        return read_events(self._reader, self._sources.events, self._num_parts)

    def group(self, logs: Logs) -> None:
        """Groups rows into behaviors; needs what `save_codes` saves."""
        group = functools.partial(
            group_part, work=self._work, days=logs.days, need_both=self._need_both
        )
        bad: list[BadPlace] = []
        for part, places in self._pool.map(group, range(self._num_parts)):
            self._grouped.append(part)
            bad += places
        self._reader.reject_places(bad)

    def filter(self, logs: Logs) -> Kept:
        """Drops users and items with few interactions, see `filter_interactions`."""
        self._kept = filter_interactions(
            self._paths(),
            len(logs.keys["item"]),
            self._settings.min_interactions,
            self._need_both,
        )
        return self._kept

    def totals(self) -> Totals:
        """What is left after each rule before `filter`."""
        return Totals.of(self._grouped, len(self._kept.items))

    def users(self) -> "Owners":
        """The kept users."""
        from pipelines.logs.tables import Owners

        users = []
        for path, is_kept in self._parts():
            with np.load(path) as arrays:
                users.append(arrays["users"][is_kept])
        return Owners.of(self._work, "user", np.sort(np.concatenate(users)))

    def read_features(self, owner: str, owners: "Owners") -> "Features":
        """Reads the features of the kept owners, of "item" or "user"."""
        from pipelines.logs.tables import read_owner_features

        source = self._sources.features[owner]
        return read_owner_features(self._reader, source, owners)

    def count_codes(self) -> dict[str, np.ndarray]:
        """For "query" and "source", the number of kept sessions of each code."""
        from pipelines.logs.tables import session_codes

        counts = {}
        for kind in CODES:
            size = len(load_codes(self._work, kind))
            counts[kind] = np.zeros(size, np.int64)
            for path, is_kept in self._parts():
                codes = session_codes(path, is_kept, kind)
                counts[kind] += np.bincount(codes, minlength=size)
        return counts

    def write_records(self, settings: "RecordSettings") -> "Summary":
        """Writes the shards, with the dense ids that `DenseIds.save` saved."""
        from pipelines.common.sequences import write_part
        from pipelines.common.writer import sum_up

        write = functools.partial(
            write_part,
            num_parts=self._num_parts,
            work=self._work,
            directory=self._staging,
            settings=settings,
        )
        shards = self._pool.map(write, range(self._num_parts), self._paths())
        return sum_up(shards, settings.num_items, self._kept.num_users)

    def _paths(self) -> list[Path]:
        return [part.path for part in self._grouped]

    def _parts(self):
        return zip(self._paths(), self._kept.users, strict=True)
