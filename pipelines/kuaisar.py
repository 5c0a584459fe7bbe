"""KuaiSAR's logs, the full set or KuaiSAR-small, to a dataset.

    python pipelines/kuaisar.py --input_dir=KuaiSAR_v2 --output_dir=data/kuaisar

The rules, which are those of UniSAR's section 5.1.1:

- The last two days are dropped: the day, in Beijing time, on which the log ends, which
  may be cut short, and the whole day before it. Then the last day that remains is the
  test split, the day before it validation, and all earlier ones train.
- Behaviors are clicked recommendations and search sessions, with a click or without.
  Only users with both are kept.
- An interaction is a clicked recommendation, or an item clicked in a session (once,
  however often it was clicked there). Users and items with fewer than five are
  dropped, and again, until all that remain have five. A session whose clicked items
  are all dropped stays, as one without a click.
- Every interaction is a target, but for those that nothing came before. It sees the
  behaviors strictly earlier in time: nothing of its own batch or session.
"""

import argparse
import functools
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from pipelines import job
from pipelines.kuaisar_group import (
    MIN_INTERACTIONS,
    Kept,
    filter_interactions,
    group_part,
)
from pipelines.kuaisar_logs import LogReader
from pipelines.kuaisar_reader import open_table
from pipelines.kuaisar_split import (
    ITEM_COLUMNS,
    REC_COLUMNS,
    SEARCH_COLUMNS,
    USER_COLUMNS,
)
from pipelines.rejects import Rejects
from pipelines.workers import Workers
from sar_tf.startup import import_tensorflow

PART_BYTES = 16 << 20  # Of the raw logs: what a process handles at once.
DAY_MS = 24 * 3_600_000
BEIJING_MS = 8 * 3_600_000
DROPPED_DAYS = 2
TABLES = {
    "user_features.csv": USER_COLUMNS,
    "item_features.csv": ITEM_COLUMNS,
    "rec_inter.csv": REC_COLUMNS,
    "src_inter.csv": SEARCH_COLUMNS,
}
SPLIT_RULE = (
    "by day in Beijing time, after dropping the day on which the log ends and the day "
    "before it: the last day left is test, the day before it validation, the rest "
    "train; a target sees only behaviors strictly earlier in time"
)


def build_dataset(
    output_dir: str | os.PathLike,
    *,
    input_dir: str | os.PathLike,
    seed: int = 1,
    max_bad_fraction: float = 0.01,
    command: str = "",
) -> None:
    """Reads KuaiSAR's files and writes a dataset folder.

    Args:
        output_dir: Folder to make; it appears when complete.
        input_dir: Folder with rec_inter, src_inter, item_features and
            user_features.csv.
        seed: Of the negatives.
        max_bad_fraction: Share of a file's rows that may be malformed.
        command: The command line to note in the dataset.

    Raises:
        job.UserError: A file or column is missing, too many rows are malformed, no
            user is left, or output_dir already holds files.
    """
    input_dir, output_dir = Path(input_dir), Path(output_dir)
    tables = {
        file: open_table(input_dir / file, columns) for file, columns in TABLES.items()
    }
    rec, search = tables["rec_inter.csv"], tables["src_inter.csv"]
    log_bytes = sum(piece.end - piece.start for piece in rec + search)
    num_parts = -(-log_bytes // PART_BYTES)
    with (
        job.staged_output(output_dir) as staging,
        Workers(num_parts, prepare=import_tensorflow) as workers,
    ):
        work = staging / "work"
        work.mkdir()
        rejects = Rejects.of_output(staging, output_dir)
        reader = LogReader(work, workers, rejects, max_bad_fraction)
        reader.read_users(tables["user_features.csv"])
        num_items = reader.read_items(tables["item_features.csv"])
        logs = reader.read_logs(rec, search, num_parts)
        rejects.close()
        days = Days.of_log(logs.last_time)
        group = functools.partial(
            group_part, work=work, repeated=logs.repeated, end_time=days.end
        )
        grouped = list(workers.map(group, range(num_parts)))
        kept = filter_interactions(grouped, num_items)
        if not any(is_kept.any() for is_kept in kept.users):
            raise job.UserError(
                f"{input_dir}: no user is left who searched, clicked recommendations "
                f"and has {MIN_INTERACTIONS} interactions with items that have as many "
                "before the log's last two days"
            )
        _write(staging, workers, grouped, kept, logs.codes, days, seed, command)


class Days(NamedTuple):
    """Where the days that matter start, in ms."""

    validation: int
    test: int
    end: int  # The first day that is dropped.

    @classmethod
    def of_log(cls, last_time: int) -> "Days":
        """Days are Beijing's."""
        last_day = (last_time + BEIJING_MS) // DAY_MS
        end = (last_day + 1 - DROPPED_DAYS) * DAY_MS - BEIJING_MS
        return cls(end - 2 * DAY_MS, end - DAY_MS, end)


def _write(
    staging: Path,
    workers: Workers,
    grouped: list[Path],
    kept: Kept,
    codes: dict[str, list[str]],
    days: Days,
    seed: int,
    command: str,
) -> None:
    # These import TensorFlow, which takes too long to wait for before a missing
    # file's error.
    import_tensorflow()
    from pipelines import writer
    from pipelines.kuaisar_records import Settings, write_part
    from pipelines.kuaisar_tables import make_tables

    work = staging / "work"
    tables, dense_ids = make_tables(work, grouped, kept, codes)
    dense_ids.save(work)
    num_items, num_parts = tables.size("item"), len(grouped)
    write = functools.partial(
        write_part,
        num_parts=num_parts,
        work=work,
        directory=staging,
        settings=Settings(num_items, days.validation, days.test, seed),
    )
    summary = writer.Summary.empty(num_items)
    with job.progress("records", tables.size("user"), " users") as bar:
        for part in workers.map(write, range(num_parts), grouped):
            summary.merge(part)
            bar.update(part.shards[0]["num_records"])
    shutil.rmtree(work)
    writer.write_dataset(
        staging,
        summary,
        tables,
        name="kuaisar",
        command=command,
        seed=seed,
        split_rule=SPLIT_RULE,
    )


def main(argv: list[str] | None = None) -> None:
    parser = job.argument_parser("kuaisar", "KuaiSAR's logs to a dataset.")
    job.add_max_bad_fraction(parser)
    parser.add_argument(
        "--input_dir", type=Path, required=True, help="folder of KuaiSAR's CSV files"
    )
    job.run(parser, _run, argv)


def _run(args: argparse.Namespace) -> None:
    build_dataset(
        args.output_dir,
        input_dir=args.input_dir,
        seed=args.seed,
        max_bad_fraction=args.max_bad_fraction,
        command=args.command,
    )


if __name__ == "__main__":
    main()
