"""Malformed rows: counts them by reason, lists them, and fails a job with too many."""

import csv
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pipelines.common.disk import writing
from pipelines.common.job import UserError
from sar_tf.files import copy_file
from sar_tf.paths import AnyPath, as_path

FILE_NAME = "rejects.csv"
MAX_TEXT = 200  # Characters kept of a row's raw text.


class Rejects:
    """Collects the malformed rows of one job.

    Writes them to a CSV file (source, line, reason, text); without a malformed row
    there is no file. Lines count from 1, and the header of a CSV file is line 1. Memory
    does not grow with the number of rows.

    Args:
        path: The file to write, of this machine.
        keep_at: New place of the file if `check` fails the job, because a failed job
            removes its folder.
    """

    def __init__(self, path: Path, keep_at: AnyPath | None = None):
        self.path = Path(path)
        self.counts: dict[str, Counter[str]] = {}  # Source -> reason -> rows.
        self.num_rows: dict[str, int] = {}  # Source -> rows, of checked files.
        self._keep_at = keep_at
        self._file = None
        if keep_at is not None:
            # Removes the file of an earlier job.
            keep_at.unlink(missing_ok=True)

    @classmethod
    def of_output(cls, staging: Path, output_dir: AnyPath) -> "Rejects":
        """The rejects of a job; a failed job keeps the file beside output_dir."""
        output_dir = as_path(output_dir).resolve()
        keep_at = output_dir.with_name(f"{output_dir.name}.{FILE_NAME}")
        return cls(staging / FILE_NAME, keep_at)

    def add(self, source: str, line: int, reason: str, text: str) -> None:
        """Rejects one row: its file, its line, the reason and its raw text."""
        self.add_rows(source, [line], reason, [text])

    def add_rows(
        self, source: str, lines: Iterable[int], reason: str, texts: Iterable[str]
    ) -> None:
        """Rejects several rows of one file for the same reason."""
        rows = [
            (source, line, reason, text[:MAX_TEXT])
            for line, text in zip(lines, texts, strict=True)
        ]
        if rows:
            with writing(self.path):
                self._writer().writerows(rows)
            self.counts.setdefault(source, Counter())[reason] += len(rows)

    def close(self) -> None:
        """Closes the file, which is then complete."""
        if self._file is not None:
            with writing(self.path):
                self._file.close()
            self._file = None

    def check(self, source: str, num_rows: int, max_bad_fraction: float) -> None:
        """Fails the job if too many rows of a file were rejected, or all of them.

        Raises:
            UserError: Names the file, the counts by reason and the file of rejects.
        """
        self.num_rows[source] = num_rows
        counts = self.counts.get(source, Counter())
        bad = counts.total()
        if bad <= max_bad_fraction * num_rows and bad < max(num_rows, 1):
            return
        self.close()
        path: AnyPath = self.path
        if self._keep_at is not None:
            path = self._keep_at
            copy_file(self.path, path)
        reasons = ", ".join(f"{reason}: {n}" for reason, n in counts.most_common())
        allowed = f"more than --max_bad_fraction={max_bad_fraction:g} allows"
        if bad == num_rows:
            allowed = "so the file holds no well-formed row"
        raise UserError(
            f"{source}: {bad} of {num_rows} rows are malformed ({reasons}), {allowed}; "
            f"they are listed in {path}"
        )

    def _writer(self):
        if self._file is not None:
            return csv.writer(
                self._file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC
            )
        self._file = open(  # noqa: SIM115
            self.path,
            "w",
            encoding="utf-8",
            # JSON can hold lone surrogates, which UTF-8 cannot.
            errors="backslashreplace",
            newline="",
        )
        writer = csv.writer(
            self._file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC
        )
        writer.writerow(("source", "line", "reason", "text"))
        return writer
