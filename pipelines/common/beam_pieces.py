"""Parses the pieces of a log in a Beam pipeline, and lists its malformed rows."""

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam

from pipelines.common.beam_files import NUM_FILES, Save, load_rows
from pipelines.common.rejects import Rejects
from pipelines.common.report import BadRow, Report, merge_reports
from sar_tf.paths import AnyPath

REPORT, SIZES, BAD = "report", "sizes", "bad"
LATER = "later"  # Malformed rows that show only beside others.


class ParsePieces(beam.PTransform):
    """Calls a function for each piece.

    Takes `(index, piece)`. Gives a pair: `(index, result)` of each piece, and the sum
    of the pieces' reports. The sizes of the pieces, that sum and the malformed rows
    are saved for `PieceReport`.

    Args:
        parse: Called with a piece; gives a result and its report.
        work: The job's own folder.
        name: Name of the log, for the files.
        kind: Class of the reports.
    """

    def __init__(
        self,
        parse: Callable[[Any], tuple[Any, Report]],
        work: AnyPath,
        name: str,
        kind: type[Report] = Report,
    ):
        super().__init__()
        self._parse = parse
        self._work = work
        self._name = name
        self._merge = functools.partial(merge_reports, kind=kind)

    def expand(self, pieces):
        parsed = pieces | "parse" >> beam.FlatMap(
            _parse, parse=self._parse
        ).with_outputs(REPORT, SIZES, BAD, main="result")
        report = parsed[REPORT] | "sum" >> beam.CombineGlobally(self._merge)
        rows = {
            REPORT: report | "one" >> beam.Map(lambda report: (0, report)),
            SIZES: parsed[SIZES] | "together" >> beam.Map(lambda sizes: (0, sizes)),
            BAD: parsed[BAD],
        }
        for kind, values in rows.items():
            _ = values | f"save {kind}" >> Save(self._work, f"{self._name}-{kind}")
        return parsed["result"], report


def _parse(numbered: tuple[int, Any], parse: Callable) -> Iterator[Any]:
    index, piece = numbered
    result, report = parse(piece)
    yield index, result
    sizes = (index, report.num_lines, report.num_rows)
    yield beam.pvalue.TaggedOutput(SIZES, sizes)
    for row in bad_rows(index, report.bad):
        yield beam.pvalue.TaggedOutput(BAD, row)
    report.bad = []
    yield beam.pvalue.TaggedOutput(REPORT, report)


def bad_rows(
    index: int, rows: Iterable[BadRow]
) -> Iterator[tuple[int, tuple[int, BadRow]]]:
    """Malformed rows of a piece, for `Save`."""
    for row in rows:
        yield index % NUM_FILES, (index, row)


class PieceReport:
    """What `ParsePieces` saved, read by the job's main process.

    Args:
        work, name: As there.

    Attributes:
        report: The sum of the reports of all pieces.
    """

    def __init__(self, work: AnyPath, name: str):
        self._work = work
        self._name = name
        self.report: Any = next(load_rows(work, f"{name}-{REPORT}"))

    def reject(
        self,
        rejects: Rejects,
        kinds: Sequence[str],
        max_bad_fraction: float,
        file_of: Callable[[int], tuple[AnyPath, str, int]],
    ) -> None:
        """Lists the malformed rows, and fails the job if a file has too many.

        Args:
            rejects: Collects them.
            kinds: What `Save` wrote them under, behind the name of the log.
            max_bad_fraction: Largest share of malformed rows in a file.
            file_of: From the number of a piece to its file, the name that the user
                knows, and the number of the file's first line.

        Raises:
            UserError: Too many rows of a file are malformed.
        """
        before: dict[int, int] = {}
        lines: Counter[AnyPath] = Counter()
        rows: Counter[str] = Counter()
        for index, num_lines, num_rows in sorted(
            load_rows(self._work, f"{self._name}-{SIZES}")
        ):
            path, name, first = file_of(index)
            before[index] = first + lines[path]
            lines[path] += num_lines
            rows[name] += num_rows
        for kind in kinds:
            for index, row in load_rows(self._work, f"{self._name}-{kind}"):
                _, name, _ = file_of(index)
                rejects.add(name, before[index] + row.line, row.reason, row.text)
        for name, num_rows in rows.items():
            rejects.check(name, num_rows, max_bad_fraction)
