"""Events in Beam pipelines: from pieces of tables to the behaviors of some users."""

import functools
from collections.abc import Iterable, Iterator, Sequence

import apache_beam as beam
import numpy as np

from pipelines.common import times
from pipelines.common.beam_files import Save
from pipelines.common.beam_pairs import flat_map_pairs, map_pairs
from pipelines.common.beam_parts import save_part
from pipelines.common.beam_pieces import LATER, ParsePieces, bad_rows
from pipelines.common.beam_texts import SaveTexts, Texts, cut_texts
from pipelines.common.keys import distinct_texts, merge_texts, part_of
from pipelines.common.report import BadRow, merge_reports
from pipelines.logs.events import (
    EventReport,
    Events,
    Reading,
    read_events,
    rows_by_part,
)
from pipelines.logs.files import Piece
from pipelines.logs.group import KINDS, group_events
from pipelines.logs.reader import row_texts
from pipelines.logs.sources import Source
from sar_tf.paths import AnyPath


class SaveEvents(beam.PTransform):
    """Saves the behaviors of the users of each part, and the malformed rows.

    Args:
        sources: The tables of events.
        work: The job's own folder.
        num_parts: Number of parts of the users.
    """

    def __init__(self, sources: Sequence[Source], work: AnyPath, num_parts: int):
        super().__init__()
        self._sources = sources
        self._work = work
        self._num_parts = num_parts

    def expand(self, pipeline):
        pieces, events, reports = [], [], []
        start = 0
        for number, source in enumerate(self._sources):
            own = list(enumerate(source.pieces, start))
            start += len(own)
            pieces.append(pipeline | f"pieces {number}" >> beam.Create(own))
            parse = functools.partial(parse_piece, reading=source.reading)
            name = f"events-{number}"
            parsed, report = (
                pieces[-1]
                | f"spread {number}" >> beam.Reshuffle()
                | name >> ParsePieces(parse, self._work, name, EventReport)
            )
            events.append(parsed)
            reports.append(report)
        every = events | "all events" >> beam.Flatten()
        merge = functools.partial(merge_reports, kind=EventReport)
        total = reports | "all reports" >> beam.Flatten() | beam.CombineGlobally(merge)
        texts = every | map_pairs("texts", lambda _, events: events.texts)
        _ = texts | SaveTexts(self._work, KINDS)
        bad = (
            {
                name: every | flat_map_pairs(name, cut, num_parts=self._num_parts)
                for name, cut in (("rows", events_by_part), ("users", texts_by_part))
            }
            | "by user" >> beam.CoGroupByKey()
            | flat_map_pairs(
                "group",
                group_events_of_part,
                total=beam.pvalue.AsSingleton(total),
                work=self._work,
            )
        )
        for number, own in enumerate(pieces):
            name = f"events-{number}-{LATER}"
            _ = (
                {"piece": own, "places": bad}
                | f"later {number}" >> ReadAgain()
                | f"save later {number}" >> Save(self._work, name)
            )
        return bad


def parse_piece(piece: Piece, reading: Reading) -> tuple[Events, EventReport]:
    """Reads a piece; its texts are `Texts`."""
    events, report = read_events(piece, reading)
    texts = {kind: distinct_texts(own) for kind, own in events.texts.items()}
    return events._replace(texts=texts), report


def events_by_part(
    index: int, events: Events, num_parts: int
) -> Iterator[tuple[int, tuple[int, np.ndarray, np.ndarray]]]:
    """The part of each user, and the user's rows in a piece."""
    rows = (rows_by_part(own, num_parts) for own in (events.rec, events.search))
    for part, (rec, search) in enumerate(zip(*rows, strict=True)):
        if len(rec) or len(search):
            yield part, (index, rec, search)


def texts_by_part(
    index: int, events: Events, num_parts: int
) -> Iterator[tuple[int, Texts]]:
    """The part of each user, and the user's key and raw id."""
    keys, texts = events.texts["user"]
    yield from cut_texts(keys, texts, part_of(keys, num_parts))


def group_events_of_part(
    part: int, found: dict[str, Iterable], total: EventReport, work: AnyPath
) -> Iterator[tuple[int, tuple[int, str]]]:
    """Groups the rows of some users and saves their behaviors and raw ids.

    Args:
        part: Number of the part.
        found: "rows" of each piece, and "users": the texts of their keys.
        total: The sum of the reports of all pieces.
        work: The job's own folder.

    Yields:
        The piece of each malformed row; its line and the reason.
    """
    pieces = sorted(found["rows"], key=lambda rows: rows[0])
    if not pieces:  # None of the users has a click or a search.
        return
    days = times.usual_days(total.days)
    behaviors, bad = group_events([rows[1:] for rows in pieces], days)
    keys, texts = merge_texts("user", found["users"])
    save_part(part, behaviors, keys, texts, work)
    for place in bad:
        # `group_events` counts the part's own pieces.
        yield pieces[place.piece][0], (place.line, place.reason)


class ReadAgain(beam.PTransform):
    """Reads the texts of malformed rows, for `Save`.

    Takes "piece", the numbered pieces of a table, and "places", the results of
    `group_events_of_part`, perhaps also of other tables.
    """

    def expand(self, inputs):
        return (
            inputs
            | "by piece" >> beam.CoGroupByKey()
            | flat_map_pairs("read again", _read_again)
        )


def _read_again(index: int, found: dict[str, Iterable]):
    places = sorted(found["places"])
    for piece in found["piece"]:
        texts = row_texts(piece, [line for line, _ in places]) if places else []
        for (line, reason), text in zip(places, texts, strict=True):
            yield from bad_rows(index, [BadRow(line, reason, text)])
