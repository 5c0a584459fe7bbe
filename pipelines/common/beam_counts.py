"""Counts of dense ids or codes, summed over the parts of a Beam job."""

from collections.abc import Iterable, Iterator

import apache_beam as beam
import numpy as np

from pipelines.common.beam_files import Save, load_rows
from pipelines.common.beam_pairs import flat_map_pairs
from sar_tf.paths import AnyPath

RANGE = 1 << 20  # Ids whose counts one worker sums.

Counts = tuple[np.ndarray, np.ndarray]  # Distinct ids, and the number of each.


class SaveCounts(Save):
    """Sums `(ids, numbers)` by id and saves the sums for `load_counts`."""

    def expand(self, counts):
        sums = counts | flat_map_pairs("cut", _cut) | beam.CombinePerKey(_add)
        return super().expand(sums)


def count_ids(ids: np.ndarray) -> Counts:
    """The distinct ids, and how often each occurs."""
    return np.unique(ids, return_counts=True)


def load_counts(work: AnyPath, name: str, size: int) -> np.ndarray:
    """[size] the sums that `SaveCounts` saved."""
    total = np.zeros(size, np.int64)
    for ids, numbers in load_rows(work, name):
        total[ids] = numbers
    return total


def _cut(ids: np.ndarray, numbers: np.ndarray) -> Iterator[tuple[int, Counts]]:
    place = ids // RANGE
    for own in np.unique(place).tolist():
        yield own, (ids[place == own], numbers[place == own])


def _add(counts: Iterable[Counts]) -> Counts:
    none = np.zeros(0, np.int64)
    ids, numbers = zip((none, none), *counts, strict=True)
    distinct, place = np.unique(np.concatenate(ids), return_inverse=True)
    total = np.zeros(len(distinct), np.int64)
    np.add.at(total, place, np.concatenate(numbers))
    return distinct, total
