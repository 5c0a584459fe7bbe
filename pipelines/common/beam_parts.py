"""Steps of Beam pipelines on the file of one part's users."""

import functools
from collections.abc import Callable, Sequence

import numpy as np

from pipelines.common.beam_counts import Counts, count_ids
from pipelines.common.beam_files import load_object, save_object, written_once
from pipelines.common.beam_records import write_whole_shard
from pipelines.common.behaviors import (
    Behaviors,
    Grouped,
    save_behaviors,
    session_codes,
)
from pipelines.common.codes import encode_behaviors
from pipelines.common.dense_ids import DenseIds
from pipelines.common.disk import load_array, open_arrays
from pipelines.common.k_core import active_users, list_interactions
from pipelines.common.ragged import find_sorted
from pipelines.common.sequences import Settings, part_records
from pipelines.common.summary import Step
from pipelines.common.writer import ShardSummary
from sar_tf.paths import AnyPath


class KeptByPart:
    """The users and items that are left; the users' places are in the parts' files.

    Args:
        num_users: Number of users.
        items: [catalogue] whether each item is kept.
    """

    def __init__(self, num_users: int, items: np.ndarray):
        self.num_users = num_users
        self.items = items

    def step(self, rule: str, num_behaviors: np.ndarray) -> Step:
        """What is left after the filters, see `Kept.step`."""
        items = int(self.items.sum())
        return Step(rule, self.num_users, items, int(num_behaviors.sum()))


def part_numbers(work: AnyPath) -> list[int]:
    """The numbers of the parts that have users."""
    return _numbers(work, "behaviors-*.pickle")


def numbers_with_users(work: AnyPath) -> list[int]:
    """The numbers of the parts that have kept users, after `save_dense_ids`."""
    return _numbers(work, "dense-*.pickle")


def save_part(
    number: int,
    behaviors: Behaviors,
    keys: np.ndarray,
    raw_ids: np.ndarray,
    work: AnyPath,
) -> None:
    """Saves the behaviors of a part's users for `encode_part`.

    Args:
        number: Of the part.
        behaviors: With keys of users and texts.
        keys: Sorted keys of at least the part's users.
        raw_ids: Their raw ids.
        work: The job's own folder.
    """
    path = work / f"behaviors-{number:06d}.pickle"
    save_object(path, (behaviors, keys, raw_ids), work)


def encode_part(
    number: int,
    work: AnyPath,
    kinds: Sequence[str],
    rules: Callable[[Behaviors], tuple[Behaviors, ...]],
) -> Grouped:
    """Applies a job's rules to a part's behaviors, with codes in the place of keys.

    Args:
        number: Of the part.
        work: The job's own folder.
        kinds: See `encode_behaviors`.
        rules: Gives what is left after each rule, see `save_behaviors`.
    """
    behaviors, _, _ = load_object(work / f"behaviors-{number:06d}.pickle")
    path = _grouped_path(work, number)
    with written_once(path, work) as beside:
        steps = rules(encode_behaviors(behaviors, work, kinds))
        grouped = save_behaviors(beside, steps)
    return grouped._replace(path=path)


def clicked_items(path: AnyPath, step: int) -> Counts:
    """The items that a part has after a rule, each once."""
    with open_arrays(path) as arrays:
        return count_ids(arrays[f"items_{step}"])


def count_interactions(path: AnyPath) -> Counts:
    """Number of interactions of a part's users with each item."""
    _, item, _ = list_interactions(path)
    return count_ids(item)


def keep_users(
    number: int, work: AnyPath, min_interactions: int, need_both: bool
) -> tuple[int, Counts]:
    """Drops a part's users who have few interactions with the kept items.

    A second call changes nothing: fewer items only ever leave fewer users.

    Args:
        number: Of the part.
        work: The job's own folder, with `kept_items.npy`.
        min_interactions, need_both: See `filter_interactions`.

    Returns:
        Number of users that are left, and of their interactions with each item.
    """
    path = _grouped_path(work, number)
    items = load_array(work / "kept_items.npy")
    is_kept = active_users(path, items, min_interactions, need_both)
    with written_once(_kept_path(work, number), work) as beside:
        np.save(beside, is_kept)
    user, item, _ = list_interactions(path)
    return int(is_kept.sum()), count_ids(item[is_kept[user]])


def kept_texts(number: int, work: AnyPath) -> tuple[int, np.ndarray]:
    """The sorted raw ids of a part's kept users."""
    return number, np.sort(_kept_users(number, work)[1])


def save_dense_ids(number: int, dense_ids: np.ndarray, work: AnyPath) -> None:
    """Saves the keys of a part's kept users and their dense ids.

    Args:
        number: Of the part.
        dense_ids: In the order of `kept_texts`.
        work: The job's own folder.
    """
    keys, texts = _kept_users(number, work)
    own = np.empty(len(keys), np.int64)
    own[np.argsort(texts, kind="stable")] = dense_ids
    save_object(work / f"dense-{number:06d}.pickle", (keys, own), work)


def count_sessions(number: int, work: AnyPath, kind: str) -> Counts:
    """Number of a part's kept sessions of each "query" or "source"."""
    is_kept = load_array(_kept_path(work, number))
    return count_ids(session_codes(_grouped_path(work, number), is_kept, kind))


@functools.lru_cache(maxsize=1)
def load_dense_ids(work: AnyPath) -> DenseIds:
    """Dense ids of items, queries and sources, once a process."""
    return DenseIds.load(work)


def write_part(
    index: int,
    number: int,
    num_shards: int,
    work: AnyPath,
    directory: AnyPath,
    settings: Settings,
) -> tuple[int, ShardSummary]:
    """Writes the records of a part's users as a shard, see `write_whole_shard`.

    Args:
        index: Number of the shard.
        number: Of the part.
        num_shards: Number of all shards.
        work: The job's own folder.
        directory: Folder for the shard.
        settings: The same for all parts.
    """
    users, user_ids = load_object(work / f"dense-{number:06d}.pickle")
    ids = load_dense_ids(work)._replace(users=users, user_ids=user_ids)
    records = part_records(_grouped_path(work, number), ids, settings)
    return write_whole_shard(
        index, num_shards, records, settings.num_items, work, directory
    )


def _numbers(work: AnyPath, pattern: str) -> list[int]:
    return [int(path.stem.rpartition("-")[2]) for path in sorted(work.glob(pattern))]


def _grouped_path(work: AnyPath, number: int) -> AnyPath:
    return work / f"grouped-{number:06d}.npz"


def _kept_path(work: AnyPath, number: int) -> AnyPath:
    return work / f"kept_users-{number:06d}.npy"


def _kept_users(number: int, work: AnyPath) -> tuple[np.ndarray, np.ndarray]:
    """Sorted keys of a part's kept users, and the raw id of each."""
    _, keys, texts = load_object(work / f"behaviors-{number:06d}.pickle")
    with open_arrays(_grouped_path(work, number)) as arrays:
        kept = arrays["users"][load_array(_kept_path(work, number))]
    return kept, texts[find_sorted(keys, kept)[0]]
