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

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipelines.common import job
from pipelines.common.engines import choose_engine
from pipelines.common.k_core import list_steps
from pipelines.common.rejects import Rejects
from pipelines.common.staging import staged_dataset
from pipelines.common.summary import finish
from pipelines.kuaisar.group import LAST_RULE, MIN_INTERACTIONS, RULES
from pipelines.kuaisar.local import LocalEngine
from pipelines.kuaisar.logs import open_tables
from sar_tf.paths import as_path
from sar_tf.startup import import_tensorflow

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
    engine: str = "local",
    beam_flags: Sequence[str] = (),
) -> None:
    """Reads KuaiSAR's files and writes a dataset folder.

    Args:
        output_dir: Folder to make; it appears when complete. May be remote.
        input_dir: Folder with rec_inter.csv, src_inter.csv, item_features.csv and
            user_features.csv.
        seed: Seed of the draw of negatives.
        max_bad_fraction: Largest share of malformed rows in a file.
        allow_empty_splits: Whether a split may have no target.
        command: The command that made the dataset, for dataset_info.json.
        engine: "local", or "beam" for Apache Beam pipelines.
        beam_flags: Beam's own flags, such as "--runner=DirectRunner".

    Raises:
        job.UserError: A file or column is missing, too many rows are malformed, no
            user is left, a split is empty, or output_dir already holds files.
    """
    input_dir = as_path(input_dir)
    tables = open_tables(input_dir)
    with staged_dataset(output_dir, engine) as staging:
        work = staging.work
        rejects = Rejects.of_output(staging.folder, output_dir)
        make = choose_engine(engine, LocalEngine, _load_beam, beam_flags)
        with make(tables, staging, rejects, max_bad_fraction) as worker:
            logs = worker.read()
            days = Days.of_log(logs.last_time)
            worker.group(days.end)
            rejects.close()
            kept = worker.filter()
            if not kept.num_users:
                raise job.UserError(
                    f"{input_dir}: no user is left; before the log's last two days a "
                    "user needs a search session, a clicked recommendation and "
                    f"{MIN_INTERACTIONS} interactions, with items of at least "
                    f"{MIN_INTERACTIONS} interactions"
                )
            # TensorFlow takes seconds to import: missing files are found before.
            import_tensorflow()
            from pipelines.common import sequences, writer
            from pipelines.common.splits import TimeSplits
            from pipelines.kuaisar.tables import make_tables

            users = worker.users()
            dataset_tables, dense_ids = make_tables(
                work,
                worker.count_codes(),
                kept.items,
                users,
                worker.user_features(users),
            )
            dense_ids.save(work)
            summary = worker.write_records(
                sequences.Settings(
                    dataset_tables.size("item"),
                    TimeSplits(days.validation, days.test),
                    seed,
                )
            )
            totals = worker.totals()
        finish(
            rejects,
            list_steps(
                totals,
                logs.num_items,
                RULES,
                kept.step(LAST_RULE, summary.num_behaviors),
            ),
            summary.targets,
            allow_empty_splits=allow_empty_splits,
            log_end=days.log_end,
        )
        writer.write_dataset(
            staging.folder,
            summary,
            dataset_tables,
            name="kuaisar",
            command=command,
            seed=seed,
            split_rule=SPLIT_RULE,
            tokenizer="ids",
        )


def _load_beam():
    from pipelines.kuaisar.beam import BeamEngine

    return BeamEngine


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
