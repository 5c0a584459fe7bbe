"""Metrics of a run's test targets against the whole catalogue."""

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sar_tf.data.known_items import KnownItems
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.models.catalogue import NUM_RANKED, scores_are_products
from sar_tf.training import checkpoint
from sar_tf.training.catalogue import CatalogueScorer, with_more_needs
from sar_tf.training.config import ConfigError
from sar_tf.training.copies import copied_tasks, join_ranks
from sar_tf.training.files import exhaustion_named
from sar_tf.training.finished import copies_of, name_of_other, opened_config
from sar_tf.training.full_ranks import Rivals, full_metrics, rank_in_catalogue
from sar_tf.training.parts import Parts
from sar_tf.training.prepare import prepared
from sar_tf.training.run_directory import RunDirectory

_SPLIT = "test"


class NoProgress(contextlib.AbstractContextManager):
    """Shows nothing of a long computation."""

    def __exit__(self, *_: Any) -> None:
        pass

    def update(self, number: int) -> None:
        """Takes a number of units that are done."""


def evaluate_full(
    run_dir: str | Path,
    sample: int | None = None,
    progress: Callable[[str, int, str], Any] = lambda *_: NoProgress(),
    **changes: Any,
) -> dict[str, Any]:
    """Ranks the test targets of a run among all items; writes full/metrics.json.

    A target's item is ranked against every item of the catalogue that its user never
    interacted with, in any split: what the stored negatives are drawn from. The ranks
    are in full/ranks/test.npz. If the process is killed, the next call goes on where
    it was. It runs on one device.

    Args:
        run_dir: The run's folder.
        sample: Number of targets of each task, drawn by the run's seed; None is all.
        progress: Shows a long computation: from a description, a total and a unit to
            a context that is told by `update`, such as tqdm.
        changes: Settings of `RunConfig` that differ from the run's, as in
            `evaluate_run`.

    Returns:
        What full/metrics.json has: "split", "epoch", "items" of the catalogue,
        "sample", "seed", and for each task what `full_ranks.full_metrics` returns.

    Raises:
        RunDirectoryError: The folder holds no run, or another process evaluates it.
        CheckpointError: The best checkpoint is missing, damaged or does not fit.
        ConfigError, DatasetError, …: As `run`.
    """
    if sample is not None and sample < 1:
        raise ConfigError(f"the sample must have 1 target or more, not {sample}")
    folder = RunDirectory(run_dir)
    config = opened_config(folder, {"strategy": "one_device", **changes})
    other = name_of_other(folder, config)
    full = RunDirectory(folder.full)
    if tasks := copied_tasks(config):
        found = {
            path: evaluate_full(path, sample, progress, **fields)
            for _, path, fields in copies_of(folder, config, tasks)
        }
        return _join(folder, full, found, other)
    with exhaustion_named(folder.path), prepared(config) as (model, pipeline):
        epoch = checkpoint.load(folder.best, model)["epoch"]
        pipeline.require_targets(_SPLIT)
        pipeline = dataclasses.replace(pipeline, num_groups=1)
        about = {
            "weights": hashlib.sha256(folder.best.read_bytes()).hexdigest(),
            "shards": [shard["sha256"] for shard in pipeline.dataset.info.shards],
            "items": model.spec.num_items,
            "sample": sample,
            "seed": config.seed,
            "targets a part": config.evaluation_batch_size,
        }
        with full.locked():
            parts = Parts(full.path / f"parts{other and f'.{other}'}", about)
            drawn = _draw(pipeline, sample, config.seed)
            _rank_all(model, pipeline, parts, drawn, progress)
            ranks = _joined(parts, model.tasks)
            full.write_ranks(_SPLIT, ranks, other)
            metrics = {
                "split": _SPLIT,
                "epoch": epoch,
                "items": model.spec.num_items,
                "sample": sample,
                "seed": config.seed,
            } | {
                task: full_metrics(_of_task(ranks, task), scores_are_products(model))
                for task in model.tasks
            }
            full.write_metrics(metrics, other)
            parts.remove()
    return metrics


def _join(folder, full, found, other):
    """Writes and returns the metrics of a run from those of its tasks' copies."""
    metrics = {}
    for own in found.values():
        metrics |= own
    metrics["epoch"] = checkpoint.load_state(folder.best)["epoch"]
    with full.locked():
        join_ranks(
            full, [RunDirectory(path / full.path.name) for path in found], _SPLIT, other
        )
        full.write_metrics(metrics, other)
    return metrics


def _draw(pipeline, sample, seed):
    """{task: which of its targets are ranked, bool in the order of the records}."""
    drawn = {}
    for number, task in enumerate(pipeline.tasks):
        targets = pipeline.dataset.info.targets[task][_SPLIT]
        drawn[task] = np.ones(targets, bool)
        if sample is not None and sample < targets:
            generator = np.random.default_rng([seed, number])
            drawn[task][:] = False
            drawn[task][generator.choice(targets, sample, replace=False)] = True
    return drawn


def _rank_all(model, pipeline, parts, drawn, progress):
    """Writes a part for each step of the split that has none yet."""
    done = parts.number()
    total = sum(int(is_drawn.sum()) for is_drawn in drawn.values())
    before = sum(len(parts.read(number)["rank"]) for number in range(done))
    title = f"Whole catalogue{f' ({before:,} targets before)' if before else ''}"
    scorer, known = CatalogueScorer(model), KnownItems(pipeline.dataset)
    with progress(title, total - before, " targets") as bar:
        for number, (batch, rows) in enumerate(_steps(pipeline, drawn)):
            if number < done:
                continue
            found = []
            for task in model.tasks:
                for part in _rank_step(scorer, known, task, batch, rows[task]):
                    found.append(part)
                    bar.update(len(part["rank"]))
            names = found[0] if found else ("task", "rank")
            parts.write(
                number,
                {n: np.concatenate([p[n] for p in found] or [[]]) for n in names},
            )


def _steps(pipeline: BatchPipeline, drawn: dict) -> Iterator[tuple[dict, dict]]:
    """The batches of the split, and {task: rows to rank}."""
    needs = with_more_needs(pipeline.made_inputs)
    pipeline = dataclasses.replace(pipeline, needs=needs)
    passed = dict.fromkeys(drawn, 0)
    for batch in pipeline.evaluate(_SPLIT):
        rows = {}
        for task, is_drawn in drawn.items():
            targets = np.flatnonzero(batch[task]["is_target"].numpy())
            start = passed[task]
            passed[task] += len(targets)
            rows[task] = targets[is_drawn[start : passed[task]]]
        yield batch, rows


def _rank_step(scorer, known, task, batch, rows):
    users, candidates = (batch[task][n].numpy() for n in ("user", "candidates"))
    for scored in scorer.score(task, batch, rows):
        rivals = Rivals(candidates[scored.rows], known.of(users[scored.rows]))
        ranks = rank_in_catalogue(scored, rivals, NUM_RANKED)
        yield {
            "task": np.full(len(scored.rows), task),
            "user": users[scored.rows],
            "row": scored.rows,
            **ranks,
        }


def _joined(parts, tasks):
    """The ranks of all parts: all of one task, then of the next, in records' order."""
    found = [
        part for n in range(parts.number()) if len((part := parts.read(n))["rank"])
    ]
    number = np.repeat(np.arange(len(found)), [len(part["rank"]) for part in found])
    columns = {n: np.concatenate([part[n] for part in found]) for n in found[0]}
    task = np.array([tasks.index(name) for name in columns["task"]])
    order = np.lexsort((columns.pop("row"), number, task))
    return {name: column[order] for name, column in columns.items()}


def _of_task(ranks, task):
    chosen = ranks["task"] == task
    return {name: column[chosen] for name, column in ranks.items()}
