"""Makes a dataset from anybody's tables of events, items and users."""

import functools
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.common import job
from pipelines.common.behaviors import Grouped
from pipelines.common.k_core import Kept, count_steps, filter_interactions
from pipelines.common.negatives import check_negatives
from pipelines.common.processes import ProcessPool
from pipelines.common.progress import progress
from pipelines.common.rejects import Rejects
from pipelines.common.shuffle import count_parts
from pipelines.common.splits import Splits
from pipelines.common.summary import finish
from pipelines.logs.days import make_splits
from pipelines.logs.features import encode_features
from pipelines.logs.group import BadPlace, group_part, save_codes
from pipelines.logs.logs import Logs, TableReader, read_events
from pipelines.logs.settings import Settings
from pipelines.logs.sources import Sources, open_tables
from sar_tf.startup import import_tensorflow

if TYPE_CHECKING:
    from pipelines.common.writer import Summary, Tables

RULES = ("in the logs", "only one behavior")


def build_dataset(
    output_dir: str | os.PathLike,
    *,
    settings: Settings,
    seed: int = 1,
    max_bad_fraction: float = 0.01,
    allow_empty_splits: bool = False,
    command: str = "",
) -> None:
    """Reads the tables and writes a dataset folder.

    Args:
        output_dir: Folder to make; it appears when complete.
        settings: The tables, their columns and the rules.
        seed: Seed of the draw of negatives.
        max_bad_fraction: Largest share of malformed rows in a table.
        allow_empty_splits: Whether a split may have no target.
        command: The command that made the dataset, for dataset_info.json.

    Raises:
        job.UserError: A file or column is missing, too many rows are malformed, no
            user is left, a split is empty, or output_dir already holds files.
    """
    output_dir = Path(output_dir)
    with job.staged_output(output_dir) as staging:
        work = staging / "work"
        work.mkdir()
        sources = open_tables(settings, work)
        num_bytes = sum(piece.num_bytes for s in sources.events for piece in s.pieces)
        num_parts = count_parts(num_bytes)
        with ProcessPool(num_parts, prepare=import_tensorflow) as pool:
            rejects = Rejects.of_output(staging, output_dir)
            reader = TableReader(work, pool, rejects, max_bad_fraction)
            logs = read_events(reader, sources.events, num_parts)
            for kind in ("item", "query", "source"):
                save_codes(work, kind, logs.keys[kind])
            group = functools.partial(
                group_part, work=work, days=logs.days, need_both=settings.keep == "both"
            )
            grouped: list[Grouped] = []
            bad: list[BadPlace] = []
            for part, places in pool.map(group, range(num_parts)):
                grouped.append(part)
                bad += places
            reader.reject_places(bad)
            paths = [part.path for part in grouped]
            kept = filter_interactions(
                paths,
                len(logs.keys["item"]),
                settings.min_interactions,
                settings.keep == "both",
            )
            _require_users(kept, logs, settings)
            splits, split_rule = make_splits(settings, logs.last_time)
            summary, tables = _write_records(
                staging, reader, sources, paths, kept, settings, splits, seed
            )
        rejects.close()
        rules = RULES[: 1 + (settings.keep == "both")]
        last_rule = f"fewer than {settings.min_interactions} interactions"
        num_events = int(summary.num_behaviors.sum())
        finish(
            rejects,
            count_steps(grouped, kept, num_events, rules, last_rule),
            summary.targets,
            notes=logs.notes,
            allow_empty_splits=allow_empty_splits,
        )
        shutil.rmtree(work)
        from pipelines.common import writer

        writer.write_dataset(
            staging,
            summary,
            tables,
            name="logs",
            command=command,
            seed=seed,
            split_rule=split_rule,
            tokenizer=settings.tokenizer,
            num_negatives=settings.num_negatives,
        )


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


def _write_records(
    staging: Path,
    reader: TableReader,
    sources: Sources,
    paths: list[Path],
    kept: Kept,
    settings: Settings,
    splits: Splits,
    seed: int,
) -> tuple["Summary", "Tables"]:
    # It imports TensorFlow, which takes seconds: missing files are found before.
    import_tensorflow()
    from pipelines.common.sequences import Settings as RecordSettings
    from pipelines.common.sequences import write_part
    from pipelines.common.writer import Summary
    from pipelines.logs.tables import kept_owners, make_tables

    work = staging / "work"
    owners = dict(zip(("user", "item"), kept_owners(work, paths, kept), strict=True))
    features = {}
    for owner, source in sources.features.items():
        keys, values = reader.read_features(owner, source)
        own = owners[owner]
        features[owner] = encode_features(
            source.reading.columns,
            values,
            own.dense_ids[np.searchsorted(own.keys, keys)],
            len(own.keys),
        )
    tables, dense_ids = make_tables(
        work,
        paths,
        kept,
        owners["user"],
        owners["item"],
        features,
        settings.min_word_count,
    )
    dense_ids.save(work)
    num_items, num_parts = tables.size("item"), len(paths)
    write = functools.partial(
        write_part,
        num_parts=num_parts,
        work=work,
        directory=staging,
        settings=RecordSettings(num_items, splits, seed, settings.num_negatives),
    )
    summary = Summary.empty(num_items)
    with progress("records", tables.size("user"), " users") as bar:
        for part in reader.pool.map(write, range(num_parts), paths):
            summary.merge(part)
            bar.update(part.shards[0]["num_records"])
    return summary, tables
