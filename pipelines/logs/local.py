"""The job's work in several processes of one machine."""

import functools
from typing import TYPE_CHECKING

from pipelines.common.k_core import Kept
from pipelines.common.local_parts import LocalParts
from pipelines.common.rejects import Rejects
from pipelines.common.shuffle import count_parts
from pipelines.common.staging import Staging
from pipelines.logs.group import BadPlace, group_part
from pipelines.logs.logs import Logs, TableReader, read_events
from pipelines.logs.settings import Settings
from pipelines.logs.sources import Sources

if TYPE_CHECKING:
    from pipelines.common.owners import Owners
    from pipelines.logs.features import Features


class LocalEngine(LocalParts):
    """Reads and writes in processes of this machine; use it in a `with`.

    Args:
        sources: The tables.
        settings: The rules.
        staging: The folders to fill.
        rejects: Collects the malformed rows.
        max_bad_fraction: Largest share of malformed rows in a table.
    """

    def __init__(
        self,
        sources: Sources,
        settings: Settings,
        staging: Staging,
        rejects: Rejects,
        max_bad_fraction: float,
    ):
        num_bytes = sum(piece.num_bytes for s in sources.events for piece in s.pieces)
        super().__init__(staging, count_parts(num_bytes))
        self._sources = sources
        self._settings = settings
        self._need_both = settings.keep == "both"
        self._reader = TableReader(self._work, self._pool, rejects, max_bad_fraction)

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
        fewest = self._settings.min_interactions
        return self._filter(len(logs.keys["item"]), fewest, self._need_both)

    def users(self) -> "Owners":
        """The kept users."""
        from pipelines.common.owners import Owners

        return Owners.of(self._work, "user", self._kept_users())

    def read_features(self, owner: str, owners: "Owners") -> "Features":
        """Reads the features of the kept owners, of "item" or "user"."""
        from pipelines.logs.tables import read_owner_features

        source = self._sources.features[owner]
        return read_owner_features(self._reader, source, owners)
