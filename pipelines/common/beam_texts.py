"""Texts of keys in Beam pipelines, saved for the job's main process."""

import pickle
from collections.abc import Iterable, Iterator, Sequence

import apache_beam as beam
import numpy as np

from pipelines.common.beam_files import NUM_FILES, load_object, written_once
from pipelines.common.beam_pairs import map_pairs
from pipelines.common.keys import merge_texts, part_of, texts_path
from sar_tf.paths import AnyPath

Texts = tuple[np.ndarray, list[str]]  # Sorted distinct keys, and the text of each.


class SaveTexts(beam.PTransform):
    """Saves the texts of keys for `find_texts` and `load_keys`.

    Takes the `Texts` of each kind.

    Args:
        work: The job's own folder.
        kinds: Which of them to save, such as "query".
    """

    def __init__(self, work: AnyPath, kinds: Sequence[str]):
        super().__init__()
        self._work = work
        self._kinds = kinds

    def expand(self, texts):
        return (
            texts
            | "by file" >> beam.FlatMap(_texts_by_file, kinds=self._kinds)
            | beam.GroupByKey()
            | map_pairs("save texts", _save_texts, work=self._work, kinds=self._kinds)
        )


def load_keys(work: AnyPath, kind: str) -> list[np.ndarray]:
    """The keys of one kind that `SaveTexts` saved, in several arrays."""
    paths = work.glob(f"texts-{kind}-*.pickle")
    return [np.zeros(0, np.int64), *(load_object(path)[0] for path in paths)]


def cut_texts(
    keys: np.ndarray, texts: list[str], place: np.ndarray
) -> Iterator[tuple[int, Texts]]:
    """Texts by their places, which are numbers from 0."""
    order = np.argsort(place, kind="stable")
    numbers, starts = np.unique(place[order], return_index=True)
    for number, own in zip(
        numbers.tolist(), np.split(order, starts[1:]), strict=bool(len(numbers))
    ):
        yield number, (keys[own], [texts[row] for row in own.tolist()])


def _texts_by_file(
    found: dict[str, Texts], kinds: Sequence[str]
) -> Iterator[tuple[int, Texts]]:
    for number, kind in enumerate(kinds):
        keys, texts = found[kind]
        for file, own in cut_texts(keys, texts, part_of(keys, NUM_FILES)):
            yield number * NUM_FILES + file, own


def _save_texts(
    file: int, found: Iterable[Texts], work: AnyPath, kinds: Sequence[str]
) -> None:
    kind = kinds[file // NUM_FILES]
    keys, texts = merge_texts(kind, found)
    path = texts_path(work, kind, file % NUM_FILES)
    with written_once(path, work) as beside:
        pair = keys, texts.tolist()
        beside.write_bytes(pickle.dumps(pair, pickle.HIGHEST_PROTOCOL))
