"""The tables of users and items in Apache Beam pipelines."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np

from pipelines.common.beam_described import SaveDescribed
from pipelines.common.beam_files import NUM_FILES, Save, written_once
from pipelines.common.beam_pairs import flat_map_pairs, map_pairs
from pipelines.common.beam_pieces import BAD, LATER, ParsePieces, bad_rows
from pipelines.common.described import Described, cut_described, first_rows
from pipelines.common.disk import save_arrays
from pipelines.common.report import BadRow
from pipelines.kuaisar.parse import parse_items, parse_users
from pipelines.kuaisar.reader import Piece
from sar_tf.paths import AnyPath


class SaveUsers(beam.PTransform):
    """Saves the features of all users by part, and the malformed rows.

    Args:
        pieces: Of user_features.csv.
        work: The job's own folder.
        num_parts: Number of parts of the users.
    """

    def __init__(self, pieces: Sequence[Piece], work: AnyPath, num_parts: int):
        super().__init__()
        self._pieces = pieces
        self._work = work
        self._num_parts = num_parts

    def expand(self, pipeline):
        work = self._work
        rows, _ = spread(pipeline, self._pieces) | ParsePieces(
            parse_users, work, "users"
        )
        return (
            rows
            | SaveDescribed(work, "users", self._num_parts)
            | flat_map_pairs("again", _described_twice, owner="user")
            | "save again" >> Save(work, f"users-{LATER}")
        )


class SaveItems(beam.PTransform):
    """Saves the rows of the items by piece, their distinct ids, and malformed rows.

    Args:
        pieces: Of item_features.csv.
        work: The job's own folder.
    """

    def __init__(self, pieces: Sequence[Piece], work: AnyPath):
        super().__init__()
        self._pieces = pieces
        self._work = work

    def expand(self, pipeline):
        work = self._work
        items, _ = spread(pipeline, self._pieces) | ParsePieces(
            parse_items, work, "items"
        )
        _ = items | map_pairs("save items", _save_items, work=work)
        found = (
            items
            | flat_map_pairs("cut", _cut_items)
            | beam.GroupByKey()
            | "first" >> beam.FlatMap(_first_items).with_outputs(BAD, main="ids")
        )
        _ = found[BAD] | "save again" >> Save(work, f"items-{LATER}")
        return found["ids"] | "save ids" >> Save(work, "catalogue")


def spread(
    pipeline: Any, pieces: Sequence[Piece], name: str = "pieces"
) -> beam.PCollection:
    """The numbered pieces of a file, for all workers."""
    numbered = pipeline | name >> beam.Create(list(enumerate(pieces)))
    return numbered | f"spread {name}" >> beam.Reshuffle()


def _described_twice(piece: int, row: tuple[int, int], owner: str):
    line, raw_id = row
    yield from bad_rows(piece, [BadRow(line, f"{owner} described twice", f"{raw_id}")])


def _save_items(index: int, items: dict[str, np.ndarray], work: AnyPath) -> None:
    with written_once(work / f"items-{index:05d}.npz", work) as beside:
        save_arrays(beside, **items)


def _cut_items(index: int, items: dict[str, np.ndarray]):
    rows = Described(items["id"], items["line"], {})
    yield from cut_described(index, rows, NUM_FILES)


def _first_items(found: tuple[int, Iterable[tuple[int, Described]]]) -> Iterator:
    file, pieces = found
    first, others = first_rows(pieces)
    yield file, first.keys
    for piece, line, item in others:
        for row in _described_twice(piece, (line, item), "item"):
            yield beam.pvalue.TaggedOutput(BAD, row)
