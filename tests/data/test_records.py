import itertools
import time
from pathlib import Path

import pytest
import tensorflow as tf
from support.builders import random_records, write_dataset

from sar_tf.data import dataset_info, records
from sar_tf.data.dataset import SequenceDataset

SEED = tf.constant([3, 4], tf.int64)
USERS = 96


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """Twelve shards of eight users, read in blocks of eight."""
    monkeypatch.setattr(records, "_BLOCK_USERS", (8, 8))
    monkeypatch.setattr(records, "_READ_TOGETHER", 4)
    write_dataset(tmp_path, *random_records(USERS, max_behaviors=10), num_shards=12)
    return SequenceDataset.open(tmp_path)


def read(dataset, seed=SEED, **share):
    return list(
        itertools.chain.from_iterable(
            block.numpy().tolist()
            for block in records.read_blocks(dataset, seed, **share)
        )
    )


@pytest.mark.parametrize("num_bytes", [0, 1 << 12, 1 << 26])
def test_all_records_are_read_once_whatever_the_memory(dataset, monkeypatch, num_bytes):
    monkeypatch.setattr(records, "_SHUFFLED_BYTES", num_bytes)
    shuffled = read(dataset)
    assert len(set(shuffled)) == USERS
    assert sorted(shuffled) == sorted(read(dataset, seed=None))
    assert shuffled == read(dataset)


def test_a_dataset_larger_than_the_memory_for_it_is_not_read_at_once(
    dataset, monkeypatch
):
    """Blocks come before the shard that is read last, and is damaged, is reached."""
    read(dataset)  # compares the checksums, once
    shuffled = tf.random.experimental.stateless_shuffle
    last = shuffled(tf.constant(dataset.shard_paths()), SEED)[-1].numpy().decode()
    with open(last, "r+b") as file:
        file.seek(20)
        file.write(b"damage")
    size = sum(shard["num_bytes"] for shard in dataset.info.shards)
    monkeypatch.setattr(records, "_SHUFFLED_BYTES", size // 6)
    blocks = iter(records.read_blocks(dataset, SEED))
    for _ in range(4):
        assert len(next(blocks)) == 8
    with pytest.raises(tf.errors.DataLossError):
        list(blocks)
    monkeypatch.setattr(records, "_SHUFFLED_BYTES", size)
    with pytest.raises(tf.errors.DataLossError):
        next(iter(records.read_blocks(dataset, SEED)))


@pytest.mark.parametrize("seed", [None, SEED])
def test_a_shard_is_checked_once_before_it_is_read(dataset, monkeypatch, seed):
    monkeypatch.setattr(records, "_SHUFFLED_BYTES", 0)
    monkeypatch.setattr(records, "_SHARDS_TOGETHER", 2)
    sha256, checked = dataset_info.sha256, []
    monkeypatch.setattr(
        dataset_info, "sha256", lambda path: checked.append(path) or sha256(path)
    )
    first, second = (iter(records.read_blocks(dataset, seed)) for _ in range(2))
    assert checked == []
    next(first)
    time.sleep(0.5)
    # Some shards are read ahead, but not all of them.
    assert 1 <= len(checked) < 12
    assert len(list(first)) == len(list(second)) - 1
    assert sorted(checked) == sorted(map(Path, dataset.shard_paths()))


@pytest.mark.parametrize("num_workers", [3, 13])
def test_workers_read_different_records(dataset, num_workers):
    """Of 12 shards: whole shards for 3 workers, single records for 13."""
    shares = [
        read(dataset, worker=worker, num_workers=num_workers)
        for worker in range(num_workers)
    ]
    assert sorted(itertools.chain.from_iterable(shares)) == sorted(read(dataset))
    assert len(set(map(len, shares))) == 1 or num_workers == 13
