"""The job's work as Apache Beam pipelines, on one machine or many."""

import functools
from collections.abc import Iterable, Iterator, Sequence

import apache_beam as beam
import numpy as np

from pipelines.common import times
from pipelines.common.beam_described import KeptParts
from pipelines.common.beam_engine import PartsEngine
from pipelines.common.beam_files import Save, load_rows
from pipelines.common.beam_pairs import flat_map_pairs, map_pairs
from pipelines.common.beam_parts import KeptByPart, save_part
from pipelines.common.beam_pieces import BAD, LATER, ParsePieces, PieceReport, bad_rows
from pipelines.common.beam_run import run_pipeline
from pipelines.common.beam_texts import SaveTexts, load_keys
from pipelines.common.codes import CODES, load_codes, save_codes
from pipelines.common.keys import part_of
from pipelines.common.owner_features import OnDisk
from pipelines.common.owners import Owners
from pipelines.common.rejects import Rejects
from pipelines.common.report import Report, merge_reports
from pipelines.common.staging import Staging
from pipelines.kuaisar.beam_tables import SaveItems, SaveUsers, spread
from pipelines.kuaisar.group import MIN_INTERACTIONS, RULES, group_rows, rules
from pipelines.kuaisar.logs import Logs, RawTables
from pipelines.kuaisar.parse import (
    FAR,
    REC_TIME,
    SEARCH_TIME,
    TIME_UNIT,
    USER_FEATURES,
    parse_rec,
    parse_search,
)
from pipelines.kuaisar.reader import FIRST_LINE, Piece
from pipelines.kuaisar.repeats import SESSION, count_sessions, foreign_pairs
from pipelines.kuaisar.split import by_part
from pipelines.kuaisar.tables import Encoded, encode_features
from sar_tf.paths import AnyPath

FAR_ROWS = "far"
LAST = "last"
PARSE = {"rec": parse_rec, "search": parse_search}
TIMES = {"rec": REC_TIME, "search": SEARCH_TIME}


class BeamEngine(PartsEngine):
    """Reads and writes in pipelines; has the methods of `LocalEngine`.

    Args:
        tables, staging, rejects, max_bad_fraction: As there.
        flags: Beam's own flags, such as --runner=DirectRunner.

    Raises:
        UserError: Beam has no such flag.
    """

    def __init__(
        self,
        tables: RawTables,
        staging: Staging,
        rejects: Rejects,
        max_bad_fraction: float,
        flags: Sequence[str],
    ):
        super().__init__(staging, tables.log_bytes, flags)
        self._tables = tables
        self._rejects = rejects
        self._max_bad_fraction = max_bad_fraction

    def read(self) -> Logs:
        """Reads all files and groups the rows of both logs by user."""
        work = self._work
        with run_pipeline(self._options) as pipeline:
            _ = pipeline | SaveUsers(self._tables.users, work, self._num_parts)
            _ = pipeline | SaveItems(self._tables.items, work)
        self._check("users", (BAD, LATER), self._tables.users)
        self._check("items", (BAD, LATER), self._tables.items)
        catalogue = np.sort(np.concatenate(list(load_rows(work, "catalogue"))))
        save_codes(work, "item", catalogue)
        with run_pipeline(self._options) as pipeline:
            logs = {"rec": self._tables.rec, "search": self._tables.search}
            _ = pipeline | SaveLogs(logs, work, self._num_parts)
        for name, pieces in logs.items():
            units = PieceReport(work, name).report.units
            times.require_unit(units, TIME_UNIT, pieces[0].path.name, TIMES[name])
            self._check(name, (BAD,), pieces)
        for name, pieces in logs.items():
            self._check(name, (FAR_ROWS, LATER), pieces)
        for kind in CODES:
            save_codes(work, kind, np.unique(np.concatenate(load_keys(work, kind))))
        return Logs(len(catalogue), max(load_rows(work, LAST)))

    def _check(self, name: str, kinds: Sequence[str], pieces: Sequence[Piece]) -> None:
        """Lists the malformed rows of a file; fails if they are too many."""
        path = pieces[0].path
        place = path, path.name, FIRST_LINE
        found = PieceReport(self._work, name)
        found.reject(self._rejects, kinds, self._max_bad_fraction, lambda _: place)

    def group(self, end_time: int) -> None:
        """Drops behaviors from `end_time` (ms) on, and users with one kind of them."""
        num_items = len(load_codes(self._work, "item"))
        own = functools.partial(rules, end_time=end_time)
        self._encode(num_items, CODES, own, len(RULES))

    def filter(self) -> KeptByPart:
        """Drops users and items with few interactions, see `filter_interactions`."""
        return self._filter(MIN_INTERACTIONS, True)

    def user_features(self, users: Owners) -> Encoded:
        """The features of the kept users."""
        parts = KeptParts(self._work, "users")
        size = len(users.vocabulary)
        return encode_features(
            USER_FEATURES, parts, size, OnDisk(self._staging.scratch)
        )


class SaveLogs(beam.PTransform):
    """Saves the behaviors of the users of each part, and the malformed rows.

    Args:
        logs: The pieces of "rec" and "search".
        work: The job's own folder, with the sorted ids of all items.
        num_parts: Number of parts of the users.
    """

    def __init__(self, logs: dict[str, Sequence[Piece]], work: AnyPath, num_parts: int):
        super().__init__()
        self._logs = logs
        self._work = work
        self._num_parts = num_parts

    def expand(self, pipeline):
        work, num_parts = self._work, self._num_parts
        parsed, reports = {}, []
        for name, pieces in self._logs.items():
            parse = functools.partial(_parse_log, name=name, work=work)
            parsed[name], report = spread(pipeline, pieces, name) | (
                f"parse {name}" >> ParsePieces(parse, work, name)
            )
            reports.append(report)
        total = beam.pvalue.AsSingleton(
            reports | beam.Flatten() | beam.CombineGlobally(merge_reports)
        )
        rows, last = {}, []
        for name, pieces in parsed.items():
            usual = pieces | f"usual {name}" >> beam.FlatMap(
                _on_usual_days, total=total, name=name, work=work
            ).with_outputs(BAD, LAST, main="rows")
            _ = usual[BAD] | f"save far {name}" >> Save(work, f"{name}-{FAR_ROWS}")
            last.append(usual[LAST])
            rows[name] = usual["rows"]
        _ = (
            last
            | "both logs" >> beam.Flatten()
            | beam.CombinePerKey(max)
            | "save last" >> Save(work, LAST)
        )
        texts = rows["search"] | map_pairs("texts", lambda _, search: search.texts)
        _ = texts | SaveTexts(work, CODES)
        sessions = rows["search"] | map_pairs(
            "search rows", lambda index, search: (index, search.rows)
        )
        bad = (
            {
                "rec": rows["rec"]
                | flat_map_pairs("by user", _by_user, num_parts=num_parts),
                "search": sessions
                | flat_map_pairs("searches by user", _by_user, num_parts=num_parts),
                "foreign": sessions
                | flat_map_pairs("by session", _by_session, num_parts=num_parts)
                | "sessions" >> beam.GroupByKey()
                | flat_map_pairs("foreign", _foreign_by_user, num_parts=num_parts),
            }
            | beam.CoGroupByKey()
            | "group"
            >> beam.FlatMap(_group, work=work).with_outputs("rec", "search", main="no")
        )
        for name in self._logs:
            _ = bad[name] | f"save later {name}" >> Save(work, f"{name}-{LATER}")
        return bad["no"]


def _parse_log(piece: Piece, name: str, work: AnyPath):
    """Rows of a piece with the piece and its report, for `_on_usual_days`."""
    rows, report = PARSE[name](piece, work)
    without_bad = Report(0, 0, [], days=report.days, last_time=report.last_time)
    return (piece, rows, without_bad), report


def _on_usual_days(
    parsed: tuple[int, tuple], total: Report, name: str, work: AnyPath
) -> Iterator:
    """Reads a piece again if it has rows on days far from all others."""
    index, (piece, rows, report) = parsed
    if report.days:
        first, last = times.usual_days(total.days)
        if min(report.days) < first or max(report.days) > last:
            rows, report = PARSE[name](piece, work, (first, last))
            far = [bad for bad in report.bad if bad.reason == FAR]
            for row in bad_rows(index, far):
                yield beam.pvalue.TaggedOutput(BAD, row)
    yield index, rows
    yield beam.pvalue.TaggedOutput(LAST, (0, report.last_time))


def _by_user(index: int, rows: np.ndarray, num_parts: int):
    for part, own in enumerate(by_part(rows, "user", num_parts)):
        if len(own):
            yield part, (index, own)


def _by_session(index: int, rows: np.ndarray, num_parts: int):
    for part, own in enumerate(by_part(count_sessions(rows), "session", num_parts)):
        if len(own):
            yield part, (index, own)


def _foreign_by_user(
    part: int, found: Iterable[tuple[int, np.ndarray]], num_parts: int
) -> Iterator[tuple[int, np.ndarray]]:
    ordered = sorted(found, key=lambda piece: piece[0])
    pairs = foreign_pairs(np.concatenate([rows for _, rows in ordered]))
    users = part_of(pairs["user"].copy(), num_parts)
    for own in np.unique(users).tolist():
        yield own, pairs[users == own]


def _group(of_part: tuple[int, dict[str, Iterable]], work: AnyPath) -> Iterator:
    """Groups the rows of some users, and saves their behaviors."""
    part, found = of_part
    rec, search = (
        sorted(found[name], key=lambda piece: piece[0]) for name in ("rec", "search")
    )
    foreign = np.concatenate([np.zeros(0, SESSION), *found["foreign"]])
    behaviors, bad = group_rows(rec, search, foreign, work)
    users = behaviors.users()
    if len(users):
        save_part(part, behaviors, users, users, work)
    for name, rows in bad._asdict().items():
        for piece, row in rows:
            for saved in bad_rows(piece, [row]):
                yield beam.pvalue.TaggedOutput(name, saved)
