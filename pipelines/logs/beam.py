"""The job's work as Apache Beam pipelines, on one machine or many."""

import functools
from collections.abc import Sequence

import apache_beam as beam

from pipelines.common.beam_described import KeptParts, SaveDescribed
from pipelines.common.beam_engine import PartsEngine
from pipelines.common.beam_files import Save
from pipelines.common.beam_parts import KeptByPart
from pipelines.common.beam_pieces import BAD, LATER, ParsePieces, PieceReport
from pipelines.common.beam_run import run_pipeline
from pipelines.common.beam_texts import load_keys
from pipelines.common.owner_features import OnDisk
from pipelines.common.owners import Owners
from pipelines.common.processes import ProcessPool
from pipelines.common.rejects import Rejects
from pipelines.common.staging import Staging
from pipelines.logs.beam_events import ReadAgain, SaveEvents
from pipelines.logs.events import EventReport
from pipelines.logs.features import Features, describe_owners, encode_features
from pipelines.logs.group import KINDS, rules
from pipelines.logs.logs import Logs, TableReader, require_unit, summarize
from pipelines.logs.reader import FIRST_LINES
from pipelines.logs.settings import Settings
from pipelines.logs.sources import Source, Sources
from pipelines.logs.tables import read_owner_features
from sar_tf.paths import AnyPath
from sar_tf.startup import import_tensorflow


class BeamEngine(PartsEngine):
    """Reads and writes in pipelines; has the methods of `LocalEngine`.

    Args:
        sources, settings, staging, rejects, max_bad_fraction: As there.
        flags: Beam's own flags, such as --runner=DirectRunner.

    Raises:
        UserError: Beam has no such flag.
    """

    def __init__(
        self,
        sources: Sources,
        settings: Settings,
        staging: Staging,
        rejects: Rejects,
        max_bad_fraction: float,
        flags: Sequence[str],
    ):
        num_bytes = sum(piece.num_bytes for s in sources.events for piece in s.pieces)
        super().__init__(staging, num_bytes, flags)
        self._sources = sources
        self._settings = settings
        self._need_both = settings.keep == "both"
        self._rejects = rejects
        self._max_bad_fraction = max_bad_fraction

    def read_events(self) -> Logs:
        """Reads all tables of events and groups their rows by user."""
        with run_pipeline(self._options) as pipeline:
            _ = pipeline | SaveEvents(self._sources.events, self._work, self._num_parts)
        return self._check_events()

    def _check_events(self) -> Logs:
        """Lists the malformed rows, and sums up what the tables hold."""
        pieces = [piece for s in self._sources.events for piece in s.pieces]
        total = EventReport(0, 0, [])
        found = []
        for number, source in enumerate(self._sources.events):
            own = PieceReport(self._work, f"events-{number}")
            self._reject(own, BAD, pieces)
            require_unit(source, own.report.units)
            total.add(own.report)
            found.append(own)
        for own in found:
            self._reject(own, LATER, pieces)
        return summarize(total, {kind: load_keys(self._work, kind) for kind in KINDS})

    def _reject(self, found: PieceReport, kind: str, pieces: Sequence) -> None:
        """Lists malformed rows of some of these pieces."""

        def file_of(index: int) -> tuple[AnyPath, str, int]:
            piece = pieces[index]
            return piece.path, piece.name, FIRST_LINES[piece.format]

        found.reject(self._rejects, (kind,), self._max_bad_fraction, file_of)

    def group(self, logs: Logs) -> None:
        """Puts codes for keys in the parts; needs what `save_codes` saves."""
        own = functools.partial(rules, need_both=self._need_both)
        self._encode(len(logs.keys["item"]), KINDS, own, 1 + self._need_both)

    def filter(self, logs: Logs) -> KeptByPart:
        """Drops users and items with few interactions, see `filter_interactions`."""
        return self._filter(self._settings.min_interactions, self._need_both)

    def read_features(self, owner: str, owners: Owners) -> Features:
        """Reads the features of the kept owners.

        Those of items are read in processes of this machine, those of users in a
        pipeline, which joins them with the kept users.
        """
        source = self._sources.features[owner]
        if owner == "user":
            self._describe_users(source)
            parts = KeptParts(self._work, "users")
            return encode_features(
                source.reading.columns,
                parts,
                len(owners.vocabulary),
                OnDisk(self._staging.scratch),
            )
        with ProcessPool(len(source.pieces), prepare=import_tensorflow) as pool:
            reader = TableReader(
                self._work, pool, self._rejects, self._max_bad_fraction
            )
            return read_owner_features(reader, source, owners)

    def _describe_users(self, source: Source) -> None:
        """Saves the features of all users by part, and lists the malformed rows."""
        work, name = self._work, "user-table"
        pieces = list(enumerate(source.pieces))
        parse = functools.partial(describe_owners, reading=source.reading)
        with run_pipeline(self._options) as pipeline:
            numbered = pipeline | beam.Create(pieces)
            rows, _ = (
                numbered | beam.Reshuffle() | "users" >> ParsePieces(parse, work, name)
            )
            again = rows | SaveDescribed(work, "users", self._num_parts)
            places = again | "places" >> beam.Map(_described_twice)
            _ = (
                {"piece": numbered, "places": places}
                | ReadAgain()
                | "save again" >> Save(work, f"{name}-{LATER}")
            )
        found = PieceReport(work, name)
        for kind in (BAD, LATER):
            self._reject(found, kind, source.pieces)


def _described_twice(
    row: tuple[int, tuple[int, int]],
) -> tuple[int, tuple[int, str]]:
    piece, (line, _) = row
    return piece, (line, "user described twice")
