"""Writes a dataset of random sequences: input for timing, nothing to learn."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from pipelines.common import writer
from pipelines.common.negatives import NUM_CANDIDATES
from pipelines.common.vocabulary import Vocabulary
from sar_tf.data.dataset_info import DatasetInfo, sha256
from sar_tf.data.schema import REC, SEARCH, Ragged, UserRecord

_USERS_PER_SHARD = 2048
_DISTINCT_SHARDS = 8  # Later ones repeat their sequences, which is faster.


def write_random_dataset(
    dataset_dir: Path,
    *,
    num_users: int = 5000,
    max_behaviors: int = 200,
    num_items: int = 100_000,
    num_queries: int = 50_000,
    seed: int = 1,
) -> DatasetInfo:
    """Writes users of 3 to `max_behaviors` random behaviors, half of them searches.

    Every behavior with a click but the first is a target: the user's last one of
    each task for test, the one before for validation, the others for training. From
    user 16,385 on the sequences of earlier users repeat.
    """
    dataset_dir = Path(dataset_dir)
    rng = np.random.default_rng(seed)
    query_words = Ragged.from_rows(
        [[], *(rng.integers(1, 5001, size) for size in rng.integers(1, 9, num_queries))]
    )
    summary = writer.Summary.empty(num_items)
    num_shards = -(-num_users // _USERS_PER_SHARD)
    shards: list[writer.ShardSummary] = []
    for index in range(num_shards):
        path = dataset_dir / writer.shard_name(index, num_shards)
        first = index * _USERS_PER_SHARD + 1
        users = range(first, min(first + _USERS_PER_SHARD, num_users + 1))
        if index < _DISTINCT_SHARDS or len(users) < _USERS_PER_SHARD:
            records = _records(rng, users, max_behaviors, num_items, query_words)
            shards.append(writer.write_shard(path, records, num_items))
        else:
            original = index % _DISTINCT_SHARDS
            ahead = (index - original) * _USERS_PER_SHARD
            shards.append(_repeat(dataset_dir, shards[original], path, ahead))
        summary.merge(shards[-1])
    sizes = {"user": num_users, "item": num_items, "word": 5000, "search_source": 4}
    tables = writer.Tables(
        vocabularies={name: Vocabulary(range(size)) for name, size in sizes.items()},
        queries=(query_words.values, np.append(0, np.cumsum(query_words.lengths))),
        user_features={},
        item_features={},
    )
    return writer.write_dataset(
        dataset_dir,
        summary,
        tables,
        name="random",
        command="",
        seed=seed,
        split_rule="leave one out",
        tokenizer="words",
    )


def _repeat(
    dataset_dir: Path, shard: writer.ShardSummary, path: Path, ahead: int
) -> writer.ShardSummary:
    """Writes a shard again, whose users have higher dense ids."""
    original = str(dataset_dir / shard.shards[0]["file"])
    example = tf.train.Example()
    together = tf.data.TFRecordDataset(original).batch(_USERS_PER_SHARD)
    with tf.io.TFRecordWriter(str(path)) as records:
        for record in itertools.chain.from_iterable(together.as_numpy_iterator()):
            example.ParseFromString(record)
            example.features.feature["user"].int64_list.value[0] += ahead
            records.write(example.SerializeToString(deterministic=True))
    entry = {
        **shard.shards[0],
        "file": path.name,
        "num_bytes": path.stat().st_size,
        "sha256": sha256(path),
    }
    return shard._replace(shards=[entry])


def _records(
    rng: np.random.Generator,
    users: range,
    max_behaviors: int,
    num_items: int,
    query_words: Ragged,
) -> Iterator[UserRecord]:
    words_of = query_words.rows()
    for user in users:
        size = int(rng.integers(3, max_behaviors + 1))
        is_rec = rng.random(size) < 0.5
        items = rng.integers(1, num_items + 1, (size, 3))
        queries = np.where(is_rec, 0, rng.integers(1, len(words_of), size))
        clicks = np.where(is_rec, 0, rng.integers(0, 4, size))
        clicked = [row[:number] for row, number in zip(items, clicks, strict=True)]
        timestamp = np.sort(rng.integers(0, 4 * size, size))
        behaviors, splits = [], []
        for task in (REC, SEARCH):
            chosen = np.flatnonzero(is_rec if task == REC else clicks > 0)
            chosen = chosen[chosen > 0]
            behaviors.append(chosen)
            splits.append(np.append(np.zeros(len(chosen)), [1, 2])[2:])
        behavior = np.concatenate(behaviors)
        split = np.concatenate(splits).astype(np.int64)
        user_items = np.unique(np.concatenate([items[is_rec, 0], *clicked]))
        free = np.setdiff1d(rng.integers(1, num_items + 1, 400), user_items)
        yield UserRecord(
            user=user,
            type=is_rec.astype(np.int64),
            timestamp=timestamp,
            item=np.where(is_rec, items[:, 0], 0),
            query=queries,
            search_source=np.where(is_rec, 0, rng.integers(1, 5, size)),
            query_words=Ragged.from_rows([words_of[query] for query in queries]),
            clicked_items=Ragged.from_rows(clicked),
            user_items=user_items,
            target_task=is_rec[behavior].astype(np.int64),
            target_split=split,
            target_behavior=behavior,
            target_item=items[behavior, 0],
            target_history_end=np.searchsorted(timestamp, timestamp[behavior]),
            candidates=np.resize(free, np.count_nonzero(split) * NUM_CANDIDATES),
        )
