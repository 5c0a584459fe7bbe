"""From the behaviors of each part's users to shards, in Apache Beam pipelines.

A pipeline leaves its results in the job's own folder, which all workers see: a file for
the users of each part. Between two of them the main process looks at counts and
malformed rows, and makes what grows with items and distinct queries alone.
"""

import functools
import itertools
from collections.abc import Callable, Sequence

import apache_beam as beam
import numpy as np

from pipelines.common import beam_parts as parts
from pipelines.common.beam_counts import SaveCounts, load_counts
from pipelines.common.beam_files import Save, load_rows
from pipelines.common.beam_ids import RankIds, VocabularyFiles
from pipelines.common.beam_pairs import map_pairs
from pipelines.common.beam_parts import KeptByPart
from pipelines.common.beam_records import write_shards
from pipelines.common.beam_run import parse_options, run_pipeline
from pipelines.common.behaviors import Behaviors
from pipelines.common.codes import CODES, load_codes
from pipelines.common.disk import save_array
from pipelines.common.k_core import Totals
from pipelines.common.owners import Owners
from pipelines.common.sequences import Settings
from pipelines.common.staging import Staging
from pipelines.common.writer import Summary

PART_BYTES = 64 << 20  # Size of the part of a raw log that a worker handles at once.


class PartsEngine:
    """The end of a job, from the files that `beam_parts.save_part` saved.

    Args:
        staging: The folders to fill.
        num_bytes: Size of the raw logs.
        flags: Beam's own flags, such as --runner=DirectRunner.

    Raises:
        UserError: Beam has no such flag.
    """

    def __init__(self, staging: Staging, num_bytes: int, flags: Sequence[str]):
        self._options = parse_options(flags)
        self._staging = staging
        self._work = staging.work
        self._num_parts = max(-(-num_bytes // PART_BYTES), 1)
        self._num_items = 0
        self._num_steps = 0

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        pass

    def _encode(
        self,
        num_items: int,
        kinds: Sequence[str],
        rules: Callable[[Behaviors], tuple[Behaviors, ...]],
        num_steps: int,
    ) -> None:
        """Applies the job's rules to all parts, with codes in the place of keys.

        Args:
            num_items: Size of the catalogue.
            kinds, rules: See `encode_part`.
            num_steps: Number of results of `rules`.
        """
        self._num_items, self._num_steps = num_items, num_steps
        work = self._work
        encode = functools.partial(
            parts.encode_part, work=work, kinds=kinds, rules=rules
        )
        with run_pipeline(self._options) as pipeline:
            encoded = self._each_part(pipeline, encode)
            _ = (
                encoded
                | "totals" >> beam.Map(lambda part: (0, part[1:]))
                | Save(work, "totals")
            )
            paths = encoded | "paths" >> beam.Map(lambda part: part.path)
            for step in range(num_steps):
                _ = (
                    paths
                    | f"items {step}" >> beam.Map(parts.clicked_items, step=step)
                    | f"save items {step}" >> SaveCounts(work, f"items-{step}")
                )
            _ = (
                paths
                | "interactions" >> beam.Map(parts.count_interactions)
                | "save interactions" >> SaveCounts(work, "round-0")
            )

    def _filter(self, min_interactions: int, need_both: bool) -> KeptByPart:
        """Drops users and items with few interactions, see `filter_interactions`.

        One pipeline for each round: the main process drops items, then the workers
        drop users and count the interactions of the others.
        """
        items = np.ones(self._num_items, bool)
        num_users = 0
        for number in itertools.count():
            counts = load_counts(self._work, f"round-{number}", self._num_items)
            left = items & (counts >= max(min_interactions, 1))
            if number and (left == items).all():
                return KeptByPart(num_users, items)
            items = left
            save_array(self._work / "kept_items.npy", items)
            keep = functools.partial(
                parts.keep_users,
                work=self._work,
                min_interactions=min_interactions,
                need_both=need_both,
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
            for step in range(self._num_steps)
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

    def write_records(self, settings: Settings) -> Summary:
        """Writes the shards, with the dense ids that `DenseIds.save` saved."""
        parts.load_dense_ids.cache_clear()  # It can hold those of an earlier job.
        numbers = parts.numbers_with_users(self._work)
        write = functools.partial(
            parts.write_part,
            num_shards=len(numbers),
            work=self._work,
            directory=self._staging.shards,
            settings=settings,
        )
        return write_shards(
            self._options, numbers, write, settings.num_items, self._work
        )
