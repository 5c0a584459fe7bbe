"""Writes shards from a Beam pipeline, and sums up what they hold."""

from collections.abc import Callable, Iterable
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.common.beam_counts import Counts, SaveCounts, load_counts
from pipelines.common.beam_files import NUM_FILES, Save, load_rows, written_once
from pipelines.common.beam_pairs import map_pairs
from pipelines.common.beam_run import run_pipeline
from pipelines.common.writer import ShardSummary, Summary, shard_name, write_shard
from sar_tf.data.schema import TASKS, UserRecord
from sar_tf.paths import AnyPath


def write_whole_shard(
    index: int,
    num_shards: int,
    records: Iterable[UserRecord],
    num_items: int,
    work: AnyPath,
    directory: AnyPath,
) -> tuple[int, ShardSummary]:
    """Writes a shard, which appears when it is complete; may be called again.

    Args:
        index, num_shards: Number of the shard, and of all.
        records: In the order of dense users.
        num_items: The highest dense item id.
        work: The job's own folder.
        directory: Folder for the shard.
    """
    path = directory / shard_name(index, num_shards)
    with written_once(path, work) as beside:
        summary = write_shard(beside, records, num_items)
    return index, summary._replace(shards=[{**summary.shards[0], "file": path.name}])


def write_shards(
    options: PipelineOptions,
    parts: Iterable[Any],
    write: Callable[[int, Any], tuple[int, ShardSummary]],
    num_items: int,
    work: AnyPath,
) -> Summary:
    """Writes a shard for each part, in a pipeline of its own.

    Args:
        options: See `beam_run.run_pipeline`.
        parts: What tells a worker which users a shard has, in the order of shards.
        write: Calls `write_whole_shard`, with the shard's number and its part.
        num_items: The highest dense item id.
        work: The job's own folder.
    """
    with run_pipeline(options) as pipeline:
        _ = (
            pipeline
            | beam.Create(list(enumerate(parts)))
            | beam.Reshuffle()
            | map_pairs("write", write)
            | _SaveSummaries(work)
        )
    return _load_summary(work, num_items)


class _SaveSummaries(beam.PTransform):
    """Saves `(index, summary)` of each shard for `_load_summary`."""

    def __init__(self, work: AnyPath):
        super().__init__()
        self._work = work

    def expand(self, summaries):
        for task in TASKS.values():
            _ = (
                summaries
                | map_pairs(f"trained {task}", _trained, task=task)
                | f"save trained {task}" >> SaveCounts(self._work, f"trained-{task}")
            )
        return (
            summaries
            | map_pairs("without targets", _without_targets)
            | "save shards" >> Save(self._work, "shards")
        )


def _load_summary(work: AnyPath, num_items: int) -> Summary:
    """The sum of all shards that `_SaveSummaries` saved."""
    summary = Summary.empty(num_items)
    for _, shard in sorted(load_rows(work, "shards"), key=lambda pair: pair[0]):
        summary.merge(shard)
    for task in TASKS.values():
        summary.popularity[task] = load_counts(work, f"trained-{task}", num_items + 1)
    return summary


def _trained(index: int, summary: ShardSummary, task: int) -> Counts:
    """The items of a task's training targets, and their numbers."""
    _, item, number = summary.trained[summary.trained[:, 0] == task].T
    return item, number


def _without_targets(index: int, summary: ShardSummary):
    none = np.zeros((0, 3), np.int64)
    return index % NUM_FILES, (index, summary._replace(trained=none))
