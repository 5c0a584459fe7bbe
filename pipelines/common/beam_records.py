"""Writes shards from a Beam pipeline, and sums up what they hold."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import apache_beam as beam
import numpy as np

from pipelines.common.beam_files import NUM_FILES, Save, load_rows, written_once
from pipelines.common.beam_pairs import flat_map_pairs, map_pairs
from pipelines.common.writer import ShardSummary, Summary, shard_name, write_shard
from sar_tf.data.schema import UserRecord

RANGE_ITEMS = 1 << 20  # Items whose training targets one worker counts together.


def write_whole_shard(
    index: int,
    num_shards: int,
    records: Iterable[UserRecord],
    num_items: int,
    work: Path,
    staging: Path,
) -> tuple[int, ShardSummary]:
    """Writes a shard, which appears when it is complete; may be called again.

    Args:
        index, num_shards: Number of the shard, and of all.
        records: In the order of dense users.
        num_items: The highest dense item id.
        work: The job's own folder.
        staging: The dataset's folder.
    """
    path = staging / shard_name(index, num_shards)
    with written_once(path, work) as beside:
        summary = write_shard(beside, records, num_items)
    return index, summary._replace(shards=[{**summary.shards[0], "file": path.name}])


class SaveSummaries(beam.PTransform):
    """Saves `(index, summary)` of each shard for `load_summary`.

    Args:
        work: The job's own folder.
    """

    def __init__(self, work: Path):
        super().__init__()
        self._work = work

    def expand(self, summaries):
        _ = (
            summaries
            | flat_map_pairs("training targets", _by_items)
            | beam.CombinePerKey(_add_targets)
            | "save targets" >> Save(self._work, "targets")
        )
        return (
            summaries
            | map_pairs("without targets", _without_targets)
            | "save shards" >> Save(self._work, "shards")
        )


def load_summary(work: Path, num_items: int) -> Summary:
    """The sum of all shards that `SaveSummaries` saved."""
    summary = Summary.empty(num_items)
    for _, shard in sorted(load_rows(work, "shards"), key=lambda pair: pair[0]):
        summary.merge(shard)
    for targets in load_rows(work, "targets"):
        task, item, count = targets.T
        summary.popularity[task, item] += count
    return summary


def _by_items(index: int, summary: ShardSummary) -> Iterator[tuple[int, np.ndarray]]:
    number = summary.trained[:, 1] // RANGE_ITEMS
    for own in np.unique(number).tolist():
        yield own, summary.trained[number == own]


def _add_targets(targets: Iterable[np.ndarray]) -> np.ndarray:
    """(n, 3) task, item and number of training targets, each pair once."""
    rows = np.concatenate([np.zeros((0, 3), np.int64), *targets])
    pairs, place = np.unique(rows[:, :2], axis=0, return_inverse=True)
    counts = np.zeros(len(pairs), np.int64)
    np.add.at(counts, place.ravel(), rows[:, 2])
    return np.concatenate([pairs, counts[:, None]], axis=1)


def _without_targets(index: int, summary: ShardSummary):
    none = np.zeros((0, 3), np.int64)
    return index % NUM_FILES, (index, summary._replace(trained=none))
