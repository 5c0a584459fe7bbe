"""Malformed rows: counted by reason, listed in a file, too many of them fail a job."""

import csv
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pipelines.job import UserError

FILE_NAME = "rejects.csv"
MAX_TEXT = 200  # Characters kept of a row's raw text.


class Rejects:
    """Collects the malformed rows of one job, or of one process of a job.

    Writes a CSV file (source, line, reason, text) from the first rejected row on;
    without one there is no file. Lines count from 1, a CSV file's header included.
    Memory does not grow with the number of rejected rows.

    Args:
        path: The file to write.
        keep_at: Where `check` moves the file to when it fails the job, since the
            folder that the job was writing is removed then.
    """

    def __init__(self, path: Path, keep_at: Path | None = None):
        self.path = Path(path)
        self.counts: dict[str, Counter[str]] = {}  # Source -> reason -> rows.
        self._keep_at = keep_at
        self._file = None
        if keep_at is not None:
            # Left by an earlier try, it would be taken for this one's.
            keep_at.unlink(missing_ok=True)

    @classmethod
    def of_output(cls, staging: Path, output_dir: Path) -> "Rejects":
        """The rejects of the job that writes `staging`, kept beside output_dir."""
        output_dir = Path(output_dir).resolve()
        keep_at = output_dir.with_name(f"{output_dir.name}.{FILE_NAME}")
        return cls(staging / FILE_NAME, keep_at)

    def add(self, source: str, line: int, reason: str, text: str) -> None:
        """Rejects one row: the file it is from, its line, why, and its raw text."""
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
            self._writer().writerows(rows)
            self.counts.setdefault(source, Counter())[reason] += len(rows)

    def absorb(self, other: "Rejects") -> None:
        """Takes over the rows of another process's closed collection and its file."""
        for source, counts in other.counts.items():
            self.counts.setdefault(source, Counter()).update(counts)
        if other.path.exists():
            with open(other.path, encoding="utf-8", newline="") as file:
                rows = csv.reader(file)
                next(rows)
                self._writer().writerows(rows)
            other.path.unlink()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def check(self, source: str, num_rows: int, max_bad_fraction: float) -> None:
        """Fails the job when too many of a file's rows were rejected.

        Raises:
            UserError: Names the file, the counts by reason and the list of rows.
        """
        counts = self.counts.get(source, Counter())
        bad = counts.total()
        if bad <= max_bad_fraction * num_rows:
            return
        self.close()
        path = self.path
        if self._keep_at is not None:
            path = self.path.replace(self._keep_at)
        reasons = ", ".join(f"{reason}: {n}" for reason, n in counts.most_common())
        raise UserError(
            f"{source}: {bad} of {num_rows} rows are malformed ({reasons}), more than "
            f"--max_bad_fraction={max_bad_fraction:g} allows; they are listed in {path}"
        )

    def _writer(self):
        if self._file is None:
            is_new = not self.path.exists()
            # Lone surrogates and the like, which JSON can hold, must not stop a job.
            self._file = open(  # noqa: SIM115
                self.path, "a", encoding="utf-8", errors="backslashreplace", newline=""
            )
            writer = csv.writer(self._file, lineterminator="\n")
            if is_new:
                writer.writerow(("source", "line", "reason", "text"))
            return writer
        return csv.writer(self._file, lineterminator="\n")
