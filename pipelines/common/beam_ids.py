"""Dense ids of more raw ids than one worker can hold."""

import shutil
from collections.abc import Iterable, Iterator, Sequence

import apache_beam as beam
import numpy as np
from apache_beam.transforms.stats import ApproximateQuantiles

from pipelines.common.beam_files import Save, load_rows, written_once
from pipelines.common.beam_pairs import flat_map_pairs, map_pairs
from pipelines.common.disk import writing
from sar_tf.paths import AnyPath

MAX_RANGES = 1000
SAMPLE_EVERY = 16  # One of so many raw ids is looked at to find equal ranges.


class VocabularyFiles:
    """Sorted distinct raw ids as `RankIds` leaves them; see `Vocabulary`.

    Args:
        work: The job's own folder.
        name: The name that `RankIds` had.
    """

    def __init__(self, work: AnyPath, name: str):
        self._paths = sorted(work.glob(f"{name}-*.ids"))
        self._size = sum(load_rows(work, f"{name}-sizes"))

    def __len__(self) -> int:
        return self._size

    def save(self, path: AnyPath) -> None:
        """Writes one raw id on each line; the line number, from 1, is the dense id."""
        with writing(path), path.open("wb") as file:
            for part in self._paths:
                with part.open("rb") as ids:
                    shutil.copyfileobj(ids, file)


class RankIds(beam.PTransform):
    """The place of each raw id in the sorted list of all, from 1: its dense id.

    Takes `(part, ids)`, where `ids` are sorted distinct raw ids of which no other part
    has any. Gives `(part, dense ids)`, in the order of `ids`. Ranges of raw ids of
    about equal size are sorted apart; the ids before a range are only counted.

    Args:
        work: The job's own folder, for `VocabularyFiles`.
        name: First part of the files' names.
        num_ranges: Number of ranges, at most `MAX_RANGES`.
    """

    def __init__(self, work: AnyPath, name: str, num_ranges: int):
        super().__init__()
        self._work = work
        self._name = name
        self._num_ranges = min(num_ranges, MAX_RANGES)

    def expand(self, parts):
        bounds = (
            parts
            | flat_map_pairs("sample", lambda _, ids: ids[::SAMPLE_EVERY].tolist())
            | ApproximateQuantiles.Globally(self._num_ranges + 1)
        )
        ranges = (
            parts
            | flat_map_pairs("cut", _cut, bounds=beam.pvalue.AsSingleton(bounds))
            | "by range" >> beam.GroupByKey()
        )
        sizes = ranges | map_pairs("sizes", _count)
        _ = (
            sizes
            | map_pairs("together", lambda _, size: (0, size))
            | "save sizes" >> Save(self._work, f"{self._name}-sizes")
        )
        return (
            ranges
            | flat_map_pairs(
                "rank",
                _rank,
                sizes=beam.pvalue.AsDict(sizes),
                work=self._work,
                name=self._name,
            )
            | "by part" >> beam.GroupByKey()
            | map_pairs("in order", _in_order)
        )


def _cut(
    part: int, ids: np.ndarray, bounds: Sequence[str]
) -> Iterator[tuple[int, tuple[int, np.ndarray]]]:
    ends = np.searchsorted(ids, np.array(bounds[1:-1], object))
    for number, chunk in enumerate(np.split(ids, ends)):
        if len(chunk):
            yield number, (part, chunk)


def _count(number: int, chunks: Iterable[tuple[int, np.ndarray]]) -> tuple[int, int]:
    return number, sum(len(ids) for _, ids in chunks)


def _rank(
    number: int,
    chunks: Iterable[tuple[int, np.ndarray]],
    sizes: dict[int, int],
    work: AnyPath,
    name: str,
) -> Iterator[tuple[int, tuple[int, np.ndarray]]]:
    parts, chunks = zip(*chunks, strict=True)
    ids = np.concatenate(chunks)
    order = np.argsort(ids, kind="stable")
    with written_once(work / f"{name}-{number:05d}.ids", work) as beside:
        text = "".join(f"{raw_id}\n" for raw_id in ids[order].tolist())
        beside.write_text(text, encoding="utf-8", newline="\n")
    dense = np.empty(len(ids), np.int64)
    before = sum(size for other, size in sizes.items() if other < number)
    dense[order] = before + np.arange(1, len(ids) + 1)
    ends = np.cumsum([len(chunk) for chunk in chunks])
    for part, own in zip(parts, np.split(dense, ends[:-1]), strict=True):
        yield part, (number, own)


def _in_order(
    part: int, chunks: Iterable[tuple[int, np.ndarray]]
) -> tuple[int, np.ndarray]:
    chunks = sorted(chunks, key=lambda chunk: chunk[0])
    return part, np.concatenate([dense for _, dense in chunks])
