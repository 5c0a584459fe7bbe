"""The job's work as Apache Beam pipelines, on one machine or many.

A pipeline leaves its results in the job's own folder, which all workers see: a file for
the users of each part. Between two of them the main process looks at counts and
malformed rows, and makes what grows with items and distinct queries alone.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import apache_beam as beam
import numpy as np

from pipelines.common.beam_counts import SaveCounts, load_counts
from pipelines.common.beam_files import Save, load_rows
from pipelines.common.beam_ids import RankIds, VocabularyFiles
from pipelines.common.beam_pairs import map_pairs
from pipelines.common.beam_pieces import BAD, PieceReport
from pipelines.common.beam_records import write_shards
from pipelines.common.beam_run import parse_options, run_pipeline
from pipelines.common.job import UserError
from pipelines.common.k_core import Totals
from pipelines.common.processes import ProcessPool
from pipelines.common.rejects import Rejects
from pipelines.common.sequences import Settings as RecordSettings
from pipelines.common.writer import Summary
from pipelines.logs import beam_parts as parts
from pipelines.logs.beam_events import LATER, SaveEvents
from pipelines.logs.beam_parts import KeptByPart
from pipelines.logs.events import EventReport
from pipelines.logs.features import Features
from pipelines.logs.group import CODES, load_codes
from pipelines.logs.logs import Logs, TableReader, require_unit, summarize
from pipelines.logs.reader import FIRST_LINES
from pipelines.logs.settings import Settings
from pipelines.logs.sources import Sources
from pipelines.logs.tables import Owners, read_owner_features
from sar_tf.startup import import_tensorflow

PART_BYTES = 64 << 20  # Size of the part of a raw log that a worker handles at once.


class BeamEngine:
    """Reads and writes in pipelines; has the methods of `LocalEngine`.

    Args:
        sources, settings, staging, rejects, max_bad_fraction: As there.
        flags: Beam's own flags, such as --runner=DirectRunner.

    Raises:
        UserError: Beam has no such flag, or there is a table of users.
    """

    def __init__(
        self,
        sources: Sources,
        settings: Settings,
        staging: Path,
        rejects: Rejects,
        max_bad_fraction: float,
        flags: Sequence[str],
    ):
        self._options = parse_options(flags)
        if "user" in sources.features:
            raise UserError(
                "--engine=beam reads no table of users, whose features one machine "
                "would have to hold; leave --users.files out, or use --engine=local"
            )
        self._sources = sources
        self._settings = settings
        self._need_both = settings.keep == "both"
        self._staging = staging
        self._work = staging / "work"
        self._rejects = rejects
        self._max_bad_fraction = max_bad_fraction
        num_bytes = sum(piece.num_bytes for s in sources.events for piece in s.pieces)
        self._num_parts = max(-(-num_bytes // PART_BYTES), 1)
        self._num_items = 0

    def __enter__(self) -> "BeamEngine":
        return self

    def __exit__(self, *_) -> None:
        pass

    def read_events(self) -> Logs:
        """Reads all tables of events and groups their rows by user."""
        with run_pipeline(self._options) as pipeline:
            _ = pipeline | SaveEvents(self._sources.events, self._work, self._num_parts)
        return self._check_events()

    def _check_events(self) -> Logs:
        """Lists the malformed rows, and sums up what the tables hold."""
        pieces = [piece for s in self._sources.events for piece in s.pieces]

        def file_of(index: int) -> tuple[Path, str, int]:
            piece = pieces[index]
            return piece.path, piece.name, FIRST_LINES[piece.format]

        total = EventReport(0, 0, [])
        found = []
        for number, source in enumerate(self._sources.events):
            own = PieceReport(self._work, f"events-{number}")
            args = self._max_bad_fraction, file_of
            own.reject(self._rejects, (BAD,), *args)
            require_unit(source, own.report.units)
            total.add(own.report)
            found.append(own)
        for own in found:
            own.reject(self._rejects, (LATER,), *args)
        return summarize(total, parts.load_keys(self._work))

    def group(self, logs: Logs) -> None:
        """Puts codes for keys in the parts; needs what `save_codes` saves."""
        self._num_items = len(logs.keys["item"])
        encode = functools.partial(
            parts.encode_part, work=self._work, need_both=self._need_both
        )
        with run_pipeline(self._options) as pipeline:
            encoded = self._each_part(pipeline, encode)
            _ = (
                encoded
                | "totals" >> beam.Map(lambda part: (0, part[1:]))
                | Save(self._work, "totals")
            )
            paths = encoded | "paths" >> beam.Map(lambda part: part.path)
            for step in range(1 + self._need_both):
                _ = (
                    paths
                    | f"items {step}" >> beam.Map(parts.clicked_items, step=step)
                    | f"save items {step}" >> SaveCounts(self._work, f"items-{step}")
                )
            _ = (
                paths
                | "interactions" >> beam.Map(parts.count_interactions)
                | "save interactions" >> SaveCounts(self._work, "round-0")
            )

    def filter(self, logs: Logs) -> KeptByPart:
        """Drops users and items with few interactions, see `filter_interactions`.

        One pipeline for each round: the main process drops items, then the workers
        drop users and count the interactions of the others.
        """
        fewest = self._settings.min_interactions
        items = np.ones(self._num_items, bool)
        num_users = 0
        for number in itertools.count():
            counts = load_counts(self._work, f"round-{number}", self._num_items)
            left = items & (counts >= max(fewest, 1))
            if number and (left == items).all():
                return KeptByPart(num_users, items)
            items = left
            np.save(self._work / "kept_items.npy", items)
            keep = functools.partial(
                parts.keep_users,
                work=self._work,
                min_interactions=fewest,
                need_both=self._need_both,
            )
            with run_pipeline(self._options) as pipeline:
                kept = self._each_part(pipeline, keep)
                _ = (
                    kept
                    | "numbers" >> beam.Map(lambda pair: (0, pair[0]))
                    | beam.CombinePerKey(sum)
                    | "save numbers" >> Save(self._work, f"users-{number}-left")
                )
                _ = (
                    kept
                    | "counts" >> beam.Map(lambda pair: pair[1])
                    | SaveCounts(self._work, f"round-{number + 1}")
                )
            num_users = sum(load_rows(self._work, f"users-{number}-left"))

    def _each_part(self, pipeline: beam.Pipeline, function: Callable):
        """Calls a function with the number of each part."""
        numbers = parts.part_numbers(self._work)
        return (
            pipeline
            | beam.Create(numbers)
            | beam.Reshuffle()
            | "each part" >> beam.Map(function)
        )

    def totals(self) -> Totals:
        """What is left after each rule before `filter`."""
        rows = list(load_rows(self._work, "totals"))
        items = [
            np.count_nonzero(load_counts(self._work, f"items-{step}", self._num_items))
            for step in range(1 + self._need_both)
        ]
        users, events = (
            np.sum(own, axis=0).tolist() for own in zip(*rows, strict=True)
        )
        return Totals(users, items, events)

    def users(self) -> Owners:
        """The kept users; their dense ids are in the parts' files."""
        work = self._work
        with run_pipeline(self._options) as pipeline:
            texts = functools.partial(parts.kept_texts, work=work)
            _ = (
                self._each_part(pipeline, texts)
                | "with users" >> beam.Filter(lambda part: len(part[1]))
                | RankIds(work, "users", self._num_parts)
                | map_pairs("save", parts.save_dense_ids, work=work)
            )
        none = np.zeros(0, np.int64)
        return Owners(none, none, VocabularyFiles(work, "users"))

    def read_features(self, owner: str, owners: Owners) -> Features:
        """Reads the table of "item" in processes of this machine."""
        source = self._sources.features[owner]
        with ProcessPool(len(source.pieces), prepare=import_tensorflow) as pool:
            reader = TableReader(
                self._work, pool, self._rejects, self._max_bad_fraction
            )
            return read_owner_features(reader, source, owners)

    def count_codes(self) -> dict[str, np.ndarray]:
        """For "query" and "source", the number of kept sessions of each code."""
        with run_pipeline(self._options) as pipeline:
            numbers = self._each_part(pipeline, lambda number: number)
            for kind in CODES:
                count = functools.partial(
                    parts.count_sessions, work=self._work, kind=kind
                )
                _ = (
                    numbers
                    | f"count {kind}" >> beam.Map(count)
                    | f"save {kind}" >> SaveCounts(self._work, f"sessions-{kind}")
                )
        return {
            kind: load_counts(
                self._work, f"sessions-{kind}", len(load_codes(self._work, kind))
            )
            for kind in CODES
        }

    def write_records(self, settings: RecordSettings) -> Summary:
        """Writes the shards, with the dense ids that `DenseIds.save` saved."""
        parts.load_dense_ids.cache_clear()  # It can hold those of an earlier job.
        numbers = parts.numbers_with_users(self._work)
        write = functools.partial(
            parts.write_part,
            num_shards=len(numbers),
            work=self._work,
            staging=self._staging,
            settings=settings,
        )
        return write_shards(
            self._options, numbers, write, settings.num_items, self._work
        )
