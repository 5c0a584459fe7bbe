"""Rankers without a model, counted once a dataset: what a trained one has to beat."""

import contextlib
import json

import numpy as np

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.records import iterate_blocks
from sar_tf.data.schema import SPLITS, TASKS, parse_records
from sar_tf.files import WriteError, write_text
from sar_tf.metrics.ranks import metrics_of_ranks, rank_of_first
from sar_tf.paths import AnyPath

FILE_NAME = "baselines.json"
RANKERS = ("most_popular", "random")
_SEED = 0  # Every run is compared with the same random ranker.
_FIELDS = ("target_task", "target_split", "target_item", "candidates")
_EVALUATED = ("validation", "test")


def load_baselines(dataset: SequenceDataset) -> dict[str, dict[str, dict]]:
    """The metrics of a most popular and a random ranker, from baselines.json.

    Counts them where the dataset folder has no such file, or one of other records,
    and keeps them there. A folder that cannot be written is no error.

    Args:
        dataset: Its stored candidates are ranked.

    Returns:
        {"most_popular": {split: {task: {"HR@1": value, …}}}, "random": …} of the
        splits validation and test.
    """
    path = dataset.dataset_dir / FILE_NAME
    shards = [shard["sha256"] for shard in dataset.info.shards]
    kept = _read(path)
    if kept is not None and kept.pop("shards", None) == shards:
        return kept
    baselines = count_baselines(dataset)
    text = json.dumps({"shards": shards, **baselines}, indent=2) + "\n"
    with contextlib.suppress(WriteError):
        write_text(path, text)
    return baselines


def count_baselines(dataset: SequenceDataset) -> dict[str, dict[str, dict]]:
    """What `load_baselines` returns, counted from the records."""
    popularity = dataset.popularity()
    rng = np.random.default_rng(_SEED)
    ranks: dict[tuple, list] = {}
    for serialized in iterate_blocks(dataset):
        block = {
            name: column.numpy()
            for name, column in parse_records(serialized, _FIELDS).items()
        }
        evaluated = block["target_split"] > 0
        stored = block["candidates"].reshape(-1, dataset.info.num_candidates)
        positives = block["target_item"][evaluated, None]
        candidates = np.concatenate([positives, stored], axis=1)
        random_ranks = rank_of_first(rng.random(candidates.shape))
        for task, split in ((t, s) for t in TASKS for s in _EVALUATED):
            rows = block["target_task"][evaluated] == TASKS[task]
            rows &= block["target_split"][evaluated] == SPLITS[split]
            popular = rank_of_first(popularity[task][candidates[rows]])
            ranks.setdefault(("most_popular", split, task), []).append(popular)
            ranks.setdefault(("random", split, task), []).append(random_ranks[rows])
    return {
        ranker: {
            split: {
                task: metrics_of_ranks(np.concatenate(ranks[ranker, split, task]))
                for task in TASKS
            }
            for split in _EVALUATED
        }
        for ranker in RANKERS
    }


def _read(path: AnyPath) -> dict | None:
    """The content of baselines.json; None where it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
