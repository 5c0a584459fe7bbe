"""Parses the pieces of a log in a Beam pipeline, and lists its malformed rows."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np

from pipelines.common.beam_files import NUM_FILES, Save, load_rows
from pipelines.common.rejects import Rejects
from pipelines.common.report import BadRow, Report, merge_reports

REPORT, LINES, BAD = "report", "lines", "bad"


class ParsePieces(beam.PTransform):
    """Calls a function for each piece.

    Takes `(index, piece)`. Gives a pair: `(index, result)` of each piece, and the sum
    of the pieces' reports. The numbers of lines, that sum and the malformed rows are
    saved for `PieceReport`.

    Args:
        parse: Called with a piece; gives a result and its `Report`.
        work: The job's own folder.
        name: Name of the log, for the files.
    """

    def __init__(self, parse: Callable[[Any], tuple[Any, Report]], work: Path, name):
        super().__init__()
        self._parse = parse
        self._work = work
        self._name = name

    def expand(self, pieces):
        parsed = pieces | "parse" >> beam.FlatMap(
            _parse, parse=self._parse
        ).with_outputs(REPORT, LINES, BAD, main="result")
        report = parsed[REPORT] | "sum" >> beam.CombineGlobally(merge_reports)
        rows = {
            REPORT: report | "one" >> beam.Map(lambda report: (0, report)),
            LINES: parsed[LINES] | "together" >> beam.Map(lambda lines: (0, lines)),
            BAD: parsed[BAD],
        }
        for kind, values in rows.items():
            _ = values | f"save {kind}" >> Save(self._work, f"{self._name}-{kind}")
        return parsed["result"], report


def _parse(numbered: tuple[int, Any], parse: Callable) -> Iterator[Any]:
    index, piece = numbered
    result, report = parse(piece)
    yield index, result
    yield beam.pvalue.TaggedOutput(LINES, (index, report.num_lines))
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

    def __init__(self, work: Path, name: str):
        self._work = work
        self._name = name
        self.report: Report = next(load_rows(work, f"{name}-{REPORT}"))

    def reject(
        self, rejects: Rejects, source: str, first_line: int, kinds: Sequence[str]
    ) -> None:
        """Lists the malformed rows of one file.

        Args:
            rejects: Collects them.
            source: Name of the file.
            first_line: The number of its first line.
            kinds: What `Save` wrote them under, behind the name of the log.
        """
        lines = sorted(load_rows(self._work, f"{self._name}-{LINES}"))
        before = np.cumsum([0, *(number for _, number in lines)])
        for kind in kinds:
            for index, row in load_rows(self._work, f"{self._name}-{kind}"):
                line = first_line + int(before[index]) + row.line
                rejects.add(source, line, row.reason, row.text)
