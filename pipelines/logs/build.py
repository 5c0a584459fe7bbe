"""Makes a dataset from anybody's tables of events, items and users."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipelines.common import job
from pipelines.common.codes import load_codes, save_codes
from pipelines.common.engines import choose_engine
from pipelines.common.k_core import Kept, list_steps
from pipelines.common.negatives import check_negatives
from pipelines.common.rejects import Rejects
from pipelines.common.staging import staged_dataset
from pipelines.common.summary import finish
from pipelines.logs.days import make_splits
from pipelines.logs.local import LocalEngine
from pipelines.logs.logs import Logs
from pipelines.logs.settings import Settings
from pipelines.logs.sources import Sources, open_tables
from sar_tf.paths import AnyPath
from sar_tf.startup import import_tensorflow

if TYPE_CHECKING:
    from pipelines.common.dense_ids import DenseIds
    from pipelines.common.writer import Tables
    from pipelines.logs.beam import BeamEngine

RULES = ("in the logs", "only one behavior")


def build_dataset(
    output_dir: str | os.PathLike,
    *,
    settings: Settings,
    seed: int = 1,
    max_bad_fraction: float = 0.01,
    allow_empty_splits: bool = False,
    command: str = "",
    engine: str = "local",
    beam_flags: Sequence[str] = (),
) -> None:
    """Reads the tables and writes a dataset folder.

    Args:
        output_dir: Folder to make; it appears when complete. May be remote.
        settings: The tables, their columns and the rules.
        seed: Seed of the draw of negatives.
        max_bad_fraction: Largest share of malformed rows in a table.
        allow_empty_splits: Whether a split may have no target.
        command: The command that made the dataset, for dataset_info.json.
        engine: "local", or "beam" for Apache Beam pipelines.
        beam_flags: Beam's own flags, such as "--runner=DirectRunner".

    Raises:
        job.UserError: A file or column is missing, too many rows are malformed, no
            user is left, a split is empty, or output_dir already holds files.
    """
    with staged_dataset(output_dir, engine) as staging:
        work = staging.work
        sources = open_tables(settings, work)
        rejects = Rejects.of_output(staging.folder, output_dir)
        make = choose_engine(engine, LocalEngine, _load_beam, beam_flags)
        with make(sources, settings, staging, rejects, max_bad_fraction) as worker:
            logs = worker.read_events()
            for kind, keys in logs.keys.items():
                save_codes(work, kind, keys)
            worker.group(logs)
            kept = worker.filter(logs)
            _require_users(kept, logs, settings)
            splits, split_rule = make_splits(settings, logs.last_time)
            tables, dense_ids = _make_tables(worker, sources, kept, settings, work)
            dense_ids.save(work)
            from pipelines.common import sequences, writer

            summary = worker.write_records(
                sequences.Settings(
                    tables.size("item"), splits, seed, settings.num_negatives
                )
            )
            totals = worker.totals()
        rejects.close()
        last_rule = f"fewer than {settings.min_interactions} interactions"
        finish(
            rejects,
            list_steps(
                totals,
                len(kept.items),
                RULES[: 1 + (settings.keep == "both")],
                kept.step(last_rule, summary.num_behaviors),
            ),
            summary.targets,
            notes=logs.notes,
            allow_empty_splits=allow_empty_splits,
        )
        writer.write_dataset(
            staging.folder,
            summary,
            tables,
            name="logs",
            command=command,
            seed=seed,
            split_rule=split_rule,
            tokenizer=settings.tokenizer,
            num_negatives=settings.num_negatives,
        )


def _load_beam():
    from pipelines.logs.beam import BeamEngine

    return BeamEngine


def _require_users(kept: Kept, logs: Logs, settings: Settings) -> None:
    if not kept.num_users:
        if settings.keep == "both" and not (logs.num_rec and logs.num_search):
            missing = "search" if logs.num_rec else "recommendation"
            raise job.UserError(
                f"the events have no {missing} at all, so --keep=both keeps no user; "
                "--keep=any makes a dataset for the models of one task"
            )
        raise job.UserError(
            f"no user is left: of --keep={settings.keep} and --min_interactions="
            f"{settings.min_interactions} one is too strict for these events"
        )
    if not kept.items.any():
        raise job.UserError(
            "the events have no clicked item, so that there is nothing to rank; name "
            "the column of clicked items (--events.item, --searches.clicked)"
        )
    check_negatives(int(kept.items.sum()), settings.num_negatives)


def _make_tables(
    worker: "LocalEngine | BeamEngine",
    sources: Sources,
    kept: Kept,
    settings: Settings,
    work: AnyPath,
) -> tuple["Tables", "DenseIds"]:
    # TensorFlow takes seconds to import: missing files are found before.
    import_tensorflow()
    from pipelines.common.owners import Owners
    from pipelines.logs.tables import make_tables

    items = np.asarray(load_codes(work, "item"))[kept.items]
    owners = {"user": worker.users(), "item": Owners.of(work, "item", items)}
    features = {
        owner: worker.read_features(owner, owners[owner]) for owner in sources.features
    }
    return make_tables(
        work,
        worker.count_codes(),
        kept.items,
        owners["user"],
        owners["item"],
        features,
        settings.min_word_count,
    )
