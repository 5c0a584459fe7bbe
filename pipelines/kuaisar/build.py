"""Makes a dataset from KuaiSAR's logs, the full set or KuaiSAR-small.

The rules are those of UniSAR's section 5.1.1:

- The last two days, in Beijing time, are dropped: the day on which the log ends, which
  may be incomplete, and the day before. Of the other days, the last is the test split,
  the day before it validation, and all earlier days are train.
- Behaviors are clicked recommendations and search sessions, with a click or without.
  Only users with both are kept.
- An interaction is a clicked recommendation or an item clicked in a session (one
  interaction, even if it was clicked several times there). Users and items with fewer
  than five interactions are dropped, repeatedly, until all others have five. A
  session stays if all of its clicked items are dropped, as a session without a click.
- Every interaction is a target unless the user did nothing before. It sees only
  behaviors strictly earlier in time, so nothing of its own batch or session.
"""

import functools
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipelines.common import job
from pipelines.common.k_core import Kept, Totals, filter_interactions, list_steps
from pipelines.common.processes import ProcessPool
from pipelines.common.rejects import Rejects
from pipelines.common.summary import finish
from pipelines.kuaisar.group import LAST_RULE, MIN_INTERACTIONS, RULES, group_part
from pipelines.kuaisar.logs import LogReader, open_tables
from sar_tf.startup import import_tensorflow

if TYPE_CHECKING:
    from pipelines.common.writer import Summary, Tables

PART_BYTES = 16 << 20  # Size of the part of the raw logs that is handled at once.
DAY_MS = 24 * 3_600_000
BEIJING_MS = 8 * 3_600_000
DROPPED_DAYS = 2
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
    allow_empty_splits: bool = False,
    command: str = "",
) -> None:
    """Reads KuaiSAR's files and writes a dataset folder.

    Args:
        output_dir: Folder to make; it appears when complete.
        input_dir: Folder with rec_inter.csv, src_inter.csv, item_features.csv and
            user_features.csv.
        seed: Seed of the draw of negatives.
        max_bad_fraction: Largest share of malformed rows in a file.
        allow_empty_splits: Whether a split may have no target.
        command: The command that made the dataset, for dataset_info.json.

    Raises:
        job.UserError: A file or column is missing, too many rows are malformed, no
            user is left, a split is empty, or output_dir already holds files.
    """
    input_dir, output_dir = Path(input_dir), Path(output_dir)
    tables = open_tables(input_dir)
    num_parts = -(-tables.log_bytes // PART_BYTES)
    with (
        job.staged_output(output_dir) as staging,
        ProcessPool(num_parts, prepare=import_tensorflow) as pool,
    ):
        work = staging / "work"
        work.mkdir()
        rejects = Rejects.of_output(staging, output_dir)
        reader = LogReader(work, pool, rejects, max_bad_fraction)
        logs = reader.read(tables, num_parts)
        rejects.close()
        days = Days.of_log(logs.last_time)
        group = functools.partial(
            group_part, work=work, foreign=logs.foreign, end_time=days.end
        )
        grouped = list(pool.map(group, range(num_parts)))
        paths = [part.path for part in grouped]
        kept = filter_interactions(paths, logs.num_items, MIN_INTERACTIONS, True)
        if not any(is_kept.any() for is_kept in kept.users):
            raise job.UserError(
                f"{input_dir}: no user is left; before the log's last two days a user "
                "needs a search session, a clicked recommendation and "
                f"{MIN_INTERACTIONS} interactions, with items of at least "
                f"{MIN_INTERACTIONS} interactions"
            )
        # It imports TensorFlow, which takes seconds: missing files are found before.
        import_tensorflow()
        from pipelines.common import writer

        summary, tables = _write_records(
            staging, pool, paths, kept, logs.codes, days, seed
        )
        finish(
            rejects,
            list_steps(
                Totals.of(grouped, logs.num_items),
                logs.num_items,
                RULES,
                kept.step(LAST_RULE, summary.num_behaviors),
            ),
            summary.targets,
            allow_empty_splits=allow_empty_splits,
            log_end=days.log_end,
        )
        shutil.rmtree(work)
        writer.write_dataset(
            staging,
            summary,
            tables,
            name="kuaisar",
            command=command,
            seed=seed,
            split_rule=SPLIT_RULE,
            tokenizer="ids",
        )


class Days(NamedTuple):
    """Start of the validation day, the test day and the dropped days, in ms."""

    validation: int
    test: int
    end: int  # The first day that is dropped.

    @property
    def log_end(self) -> str:
        """The day on which the log ends, such as 2023-06-10."""
        end = (self.end + BEIJING_MS) // DAY_MS
        return str(np.datetime64(end + DROPPED_DAYS - 1, "D"))

    @classmethod
    def of_log(cls, last_time: int) -> "Days":
        """The days, in Beijing time, of a log whose last row has this time."""
        last_day = (last_time + BEIJING_MS) // DAY_MS
        end = (last_day + 1 - DROPPED_DAYS) * DAY_MS - BEIJING_MS
        return cls(end - 2 * DAY_MS, end - DAY_MS, end)


def _write_records(
    staging: Path,
    pool: ProcessPool,
    grouped: list[Path],
    kept: Kept,
    codes: dict[str, list[str]],
    days: Days,
    seed: int,
) -> tuple["Summary", "Tables"]:
    from pipelines.common.sequences import Settings, write_part
    from pipelines.common.splits import TimeSplits
    from pipelines.common.writer import sum_up
    from pipelines.kuaisar.tables import make_tables

    work = staging / "work"
    tables, dense_ids = make_tables(work, grouped, kept, codes)
    dense_ids.save(work)
    num_items, num_parts = tables.size("item"), len(grouped)
    write = functools.partial(
        write_part,
        num_parts=num_parts,
        work=work,
        directory=staging,
        settings=Settings(num_items, TimeSplits(days.validation, days.test), seed),
    )
    shards = pool.map(write, range(num_parts), grouped)
    return sum_up(shards, num_items, tables.size("user")), tables
