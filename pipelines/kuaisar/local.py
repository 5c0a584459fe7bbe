"""The job's work in several processes of one machine."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.common.behaviors import Grouped, save_behaviors
from pipelines.common.codes import CODES, encode_behaviors
from pipelines.common.k_core import Kept
from pipelines.common.local_parts import LocalParts
from pipelines.common.rejects import Rejects
from pipelines.common.shuffle import load_chunks
from pipelines.common.staging import Staging
from pipelines.common.vocabulary import Vocabulary
from pipelines.kuaisar.group import (
    MIN_INTERACTIONS,
    BadRows,
    group_rows,
    rules,
)
from pipelines.kuaisar.logs import LogReader, Logs, RawTables

if TYPE_CHECKING:
    from pipelines.common.owners import Owners
    from pipelines.kuaisar.tables import Encoded

PART_BYTES = 16 << 20  # Size of the part of the raw logs that is handled at once.


class LocalEngine(LocalParts):
    """Reads and writes in processes of this machine; use it in a `with`.

    Args:
        tables: The files.
        staging: The folders to fill.
        rejects: Collects the malformed rows.
        max_bad_fraction: Largest share of malformed rows in a file.
    """

    def __init__(
        self,
        tables: RawTables,
        staging: Staging,
        rejects: Rejects,
        max_bad_fraction: float,
    ):
        super().__init__(staging, -(-tables.log_bytes // PART_BYTES))
        self._tables = tables
        self._num_items = 0
        self._reader = LogReader(
            self._work, self._pool, rejects, max_bad_fraction, self._num_parts
        )

    def read(self) -> Logs:
        """Reads all files."""
        self._num_items = self._reader.read_tables(self._tables)
        self._logs = self._reader.read_logs(self._tables)
        return Logs(self._num_items, self._logs[-1])

    def group(self, end_time: int) -> None:
        """Groups rows into behaviors; those from `end_time` (ms) on are dropped."""
        self._reader.save_code_tables()
        group = functools.partial(
            group_part,
            work=self._work,
            foreign=self._reader.find_foreign_sessions(),
            end_time=end_time,
        )
        bad = BadRows([], [])
        for grouped, found in self._pool.map(group, range(self._num_parts)):
            self._grouped.append(grouped)
            bad.rec.extend(found.rec)
            bad.search.extend(found.search)
        rec, search, _ = self._logs
        self._reader.reject(rec, bad.rec)
        self._reader.reject(search, bad.search)

    def filter(self) -> Kept:
        """Drops users and items with few interactions, see `filter_interactions`."""
        return self._filter(self._num_items, MIN_INTERACTIONS, True)

    def users(self) -> "Owners":
        """The kept users."""
        from pipelines.common.owners import Owners

        users = self._kept_users()
        return Owners(users, np.arange(1, len(users) + 1), Vocabulary(users))

    def user_features(self, users: "Owners") -> "Encoded":
        """The features of the kept users."""
        from pipelines.kuaisar.tables import read_user_features

        return read_user_features(self._work, users.keys)


def group_part(
    part: int, work: Path, foreign: np.ndarray, end_time: int
) -> tuple[Grouped, BadRows]:
    """Groups the rows of one part's users into behaviors and saves them.

    Args:
        part: Number of the part.
        work: Folder of the job's own files.
        foreign: See `group_rows`.
        end_time: See `rules`.

    Returns:
        See `save_behaviors`, whose steps are those of `RULES`; the malformed rows.
    """
    rec, search = (
        list(enumerate(load_chunks(work, name, part))) for name in ("rec", "search")
    )
    behaviors, bad = group_rows(rec, search, foreign, work)
    coded = encode_behaviors(behaviors, work, CODES)
    steps = rules(coded, end_time)
    return save_behaviors(work / f"grouped-{part:05d}.npz", steps), bad
