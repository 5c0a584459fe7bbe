"""Features of users in Beam pipelines, joined with the kept users part by part."""

from collections.abc import Iterable, Iterator

import apache_beam as beam
import numpy as np

from pipelines.common.beam_files import load_object, save_object
from pipelines.common.beam_pairs import flat_map_pairs
from pipelines.common.described import Described, cut_described, first_rows
from pipelines.common.ragged import find_sorted
from sar_tf.paths import AnyPath


class SaveDescribed(beam.PTransform):
    """Saves the first row of each owner, for `KeptParts`.

    Takes `(piece, Described)`. Gives `(piece, (line, key))` of each row that describes
    an owner again.

    Args:
        work: The job's own folder.
        name: First part of the files' names.
        num_parts: Number of parts of the owners.
    """

    def __init__(self, work: AnyPath, name: str, num_parts: int):
        super().__init__()
        self._work = work
        self._name = name
        self._num_parts = num_parts

    def expand(self, rows):
        return (
            rows
            | flat_map_pairs("cut", cut_described, num_parts=self._num_parts)
            | beam.GroupByKey()
            | flat_map_pairs("first", _save_first, work=self._work, name=self._name)
        )


def _save_first(
    part: int, pieces: Iterable[tuple[int, Described]], work: AnyPath, name: str
) -> Iterator[tuple[int, tuple[int, int]]]:
    first, others = first_rows(pieces)
    first = first.take(np.argsort(first.keys))
    save_object(_path(work, name, part), first, work)
    for piece, line, key in others:
        yield piece, (line, key)


class KeptParts:
    """The features of the kept users, one part after another, as often as asked.

    Each iteration gives dense ids and the values by column of these users.

    Args:
        work: The job's own folder, with the files of `save_dense_ids`.
        name: The name that `SaveDescribed` had.
    """

    def __init__(self, work: AnyPath, name: str):
        self._work = work
        self._name = name

    def __iter__(self) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        for path in sorted(self._work.glob("dense-*.pickle")):
            described = _path(self._work, self._name, int(path.stem.split("-")[1]))
            if described.exists():
                keys, dense_ids = load_object(path)
                rows = load_object(described)
                place, is_kept = find_sorted(keys, rows.keys)
                yield dense_ids[place[is_kept]], rows.take(is_kept).values


def _path(work: AnyPath, name: str, part: int) -> AnyPath:
    return work / f"{name}-{part:06d}.described"
