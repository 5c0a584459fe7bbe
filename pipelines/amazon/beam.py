"""The job's work as Apache Beam pipelines, on one machine or many.

A pipeline leaves its results in the job's own folder, which all workers see. Between
two of them the main process looks at counts and malformed rows, and makes what grows
with the items alone: their vocabulary and queries.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence

import apache_beam as beam

from pipelines.amazon.group import group_reviews, split_by_user
from pipelines.amazon.logs import (
    DIFFERENT,
    Logs,
    load_items,
    reviewed_items,
    save_items,
)
from pipelines.amazon.ranges import ReadPieces
from pipelines.amazon.reader import (
    FIRST_LINE,
    TIME_UNITS,
    Description,
    MetadataKeys,
    Piece,
    RawFile,
    ReviewKeys,
    Reviews,
    parse_metadata,
    parse_reviews,
)
from pipelines.amazon.records import Queries, Settings, part_records
from pipelines.common import times
from pipelines.common.beam_files import (
    Save,
    file_of,
    load_object,
    load_rows,
    save_object,
)
from pipelines.common.beam_ids import RankIds, VocabularyFiles
from pipelines.common.beam_pairs import flat_map_pairs, map_pairs
from pipelines.common.beam_pieces import BAD, LATER, ParsePieces, PieceReport, bad_rows
from pipelines.common.beam_records import write_shards, write_whole_shard
from pipelines.common.beam_run import parse_options, run_pipeline
from pipelines.common.rejects import Rejects
from pipelines.common.report import BadRow, Report
from pipelines.common.staging import Staging
from pipelines.common.vocabulary import Vocabulary
from pipelines.common.writer import ShardSummary, Summary
from sar_tf.paths import AnyPath

PART_BYTES = 64 << 20  # Size of the part of a raw log that a worker handles at once.


class BeamEngine:
    """Reads and writes in pipelines; has the methods of `LocalEngine`.

    Args:
        reviews, metadata, staging, rejects, max_bad_fraction: As there.
        flags: Beam's own flags, such as --runner=DirectRunner.

    Raises:
        UserError: Beam has no such flag.
    """

    def __init__(
        self,
        reviews: RawFile,
        metadata: RawFile,
        staging: Staging,
        rejects: Rejects,
        max_bad_fraction: float,
        flags: Sequence[str],
    ):
        self._options = parse_options(flags)
        self._reviews = reviews
        self._metadata = metadata
        self._shards = staging.shards
        self._work = staging.work
        self._rejects = rejects
        self._max_bad_fraction = max_bad_fraction
        self._num_parts = max(-(-reviews.num_bytes // PART_BYTES), 1)

    def __enter__(self) -> "BeamEngine":
        return self

    def __exit__(self, *_) -> None:
        pass

    def read_reviews(self) -> Logs:
        """Reads the reviews and groups them by user, see `logs.read_reviews`."""
        work, file = self._work, self._reviews
        parse = functools.partial(parse_reviews, keys=file.keys)
        with run_pipeline(self._options) as pipeline:
            reviews, report = (
                pipeline
                | ReadPieces(file.path)
                | "reviews" >> ParsePieces(parse, work, "reviews")
            )
            grouped = (
                reviews
                | flat_map_pairs("split", _split, num_parts=self._num_parts)
                | "by user" >> beam.GroupByKey()
                | "group"
                >> beam.FlatMap(
                    _group, report=beam.pvalue.AsSingleton(report), keys=file.keys
                ).with_outputs(BAD, main="grouped")
            )
            _ = grouped[BAD] | "save later" >> Save(work, f"reviews-{LATER}")
            self._save_grouped(grouped["grouped"])
        found = PieceReport(work, "reviews")
        times.require_unit(
            found.report.units,
            TIME_UNITS[file.keys.time],
            file.path.name,
            file.keys.time,
        )
        self._check(found, file)
        return Logs(
            VocabularyFiles(work, "users"),
            Vocabulary.build(load_rows(work, "items")),
            sum(load_rows(work, "kept")),
        )

    def _save_grouped(self, grouped) -> None:
        """Saves each part with its users' dense ids, the items and the numbers."""
        work = self._work
        users = (
            grouped
            | map_pairs("users", lambda part, rows: (part, rows.users))
            | "rank users" >> RankIds(work, "users", self._num_parts)
        )
        _ = (
            {"rows": grouped, "users": users}
            | beam.CoGroupByKey()
            | map_pairs("save parts", _save_part, work=work)
        )
        _ = (
            grouped
            | flat_map_pairs("items", lambda _, rows: rows.items.tolist())
            | beam.Distinct()
            | "by item" >> beam.Map(lambda item: (file_of(item), item))
            | "save items" >> Save(work, "items")
        )
        _ = (
            grouped
            | map_pairs("sizes", lambda _, rows: (0, len(rows.time)))
            | beam.CombinePerKey(sum)
            | "save sizes" >> Save(work, "kept")
        )

    def read_queries(self, logs: Logs) -> list[list[str]]:
        """The queries of item 0 (none), 1, …, see `logs.read_queries`."""
        work, file = self._work, self._metadata
        save_items(logs.items, work)
        _items.cache_clear()  # It can hold those of an earlier job.
        parse = functools.partial(_parse_metadata, keys=file.keys, work=work)
        with run_pipeline(self._options) as pipeline:
            descriptions, _ = (
                pipeline
                | ReadPieces(file.path)
                | "metadata" >> ParsePieces(parse, work, "metadata")
            )
            chosen = (
                descriptions
                | flat_map_pairs("of items", _of_items)
                | "by item" >> beam.GroupByKey()
                | "choose" >> beam.FlatMap(_choose).with_outputs(BAD, main="queries")
            )
            _ = chosen["queries"] | "save queries" >> Save(work, "queries")
            _ = chosen[BAD] | "save repeats" >> Save(work, f"metadata-{LATER}")
        self._check(PieceReport(work, "metadata"), file)
        queries: list[list[str]] = [[] for _ in range(len(logs.items) + 1)]
        found = dict(load_rows(work, "queries"))
        for item, own in zip(
            logs.items.encode(list(found)).tolist(), found.values(), strict=True
        ):
            queries[item] = own
        return queries

    def _check(self, found: PieceReport, file: RawFile) -> None:
        """Lists the malformed rows of a file; fails if they are too many."""
        place = file.path, file.path.name, FIRST_LINE
        found.reject(
            self._rejects, (BAD, LATER), self._max_bad_fraction, lambda _: place
        )

    def write_records(self, logs: Logs, seed: int) -> Summary:
        """Writes the shards, see `LocalEngine.write_records`."""
        paths = sorted(self._work.glob("part-*.pickle"))
        write = functools.partial(
            _write_part,
            num_parts=len(paths),
            work=self._work,
            directory=self._shards,
            settings=Settings(len(logs.items), seed),
        )
        reviewed_items.cache_clear()  # Workers of a local runner need the memory.
        return write_shards(self._options, paths, write, len(logs.items), self._work)


def _split(
    index: int, reviews: Reviews, num_parts: int
) -> Iterator[tuple[int, tuple[int, Reviews]]]:
    for part, chunk in enumerate(split_by_user(reviews, num_parts)):
        if len(chunk.time):
            yield part, (index, chunk)


def _group(
    of_part: tuple[int, Iterable[tuple[int, Reviews]]],
    report: Report,
    keys: ReviewKeys,
) -> Iterator:
    part, chunks = of_part
    in_order = sorted(chunks, key=lambda chunk: chunk[0])
    days = times.usual_days(report.days)
    grouped, bad = group_reviews([chunk for _, chunk in in_order], keys, days)
    for review in bad:
        # `group_reviews` counts the part's own pieces.
        index = in_order[review.piece][0]
        for row in bad_rows(index, [review.row]):
            yield beam.pvalue.TaggedOutput(BAD, row)
    if len(grouped.users):
        yield part, grouped


def _save_part(part: int, found: dict[str, Iterable], work: AnyPath) -> None:
    (grouped,), (users,) = found["rows"], found["users"]
    save_object(work / f"part-{part:06d}.pickle", (grouped, users), work)


def _parse_metadata(
    piece: Piece, keys: MetadataKeys, work: AnyPath
) -> tuple[list[Description], Report]:
    return parse_metadata(piece, keys, reviewed_items(work))


def _of_items(
    index: int, descriptions: list[Description]
) -> Iterator[tuple[str, tuple[int, Description]]]:
    for description in descriptions:
        yield description.item, (index, description)


def _choose(of_item: tuple[str, Iterable[tuple[int, Description]]]) -> Iterator:
    """The queries of an item's first description; other ones are malformed."""
    item, described = of_item
    (_, first), *others = sorted(described, key=lambda pair: (pair[0], pair[1].line))
    yield file_of(item), (item, first.queries)
    for index, description in others:
        if description.hierarchies != first.hierarchies:
            bad = BadRow(description.line, DIFFERENT, description.text)
            yield from (
                beam.pvalue.TaggedOutput(BAD, row) for row in bad_rows(index, [bad])
            )


@functools.lru_cache(maxsize=1)
def _items(work: AnyPath) -> Vocabulary:
    return Vocabulary(load_items(work))


def _write_part(
    index: int,
    path: AnyPath,
    num_parts: int,
    work: AnyPath,
    directory: AnyPath,
    settings: Settings,
) -> tuple[int, ShardSummary]:
    grouped, users = load_object(path)
    items, queries = _items(work).encode(grouped.items), Queries.load(work)
    records = part_records(
        grouped,
        users,
        items,
        queries.of_items.take(items),
        queries.words,
        settings,
    )
    return write_whole_shard(
        index, num_parts, records, settings.num_items, work, directory
    )
