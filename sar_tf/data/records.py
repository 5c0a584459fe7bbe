"""Reads the shards of a dataset as blocks of many users' records."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.dataset_info import DatasetError

_READ_TOGETHER = 64  # Records read from one shard before the next shard.
_SHARDS_TOGETHER = 4
_SHUFFLED_BYTES = 64 << 20  # Size of the records that are shuffled in memory.
_BLOCK_BEHAVIORS = 1 << 16  # Approximate size of a block, in behaviors.
_BLOCK_USERS = (256, 8192)  # Fewest (to mix users) and most users of a block.


@contextlib.contextmanager
def damage_named(dataset: SequenceDataset) -> Iterator[None]:
    """Makes a DatasetError of TensorFlow's error for a damaged shard.

    Args:
        dataset: The dataset whose records the `with` block reads.

    Raises:
        DatasetError: Names the shard.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if dataset.damage is None:
            raise
        raise DatasetError(dataset.damage) from error


def iterate_blocks(
    dataset: SequenceDataset, worker: int = 0, num_workers: int = 1
) -> Iterator[tf.Tensor]:
    """The blocks of `read_blocks` in the order of the records.

    Raises:
        DatasetError: A shard is damaged.
    """
    with damage_named(dataset):
        yield from read_blocks(dataset, None, worker, num_workers)


def read_blocks(
    dataset: SequenceDataset,
    seed: tf.Tensor | None,
    worker: int = 0,
    num_workers: int = 1,
) -> tf.data.Dataset:
    """Serialized records; each element is a block of users.

    Args:
        dataset: The dataset with the shards.
        seed: `(2,)` seed of the shuffle of shards and records; None keeps the order.
        worker, num_workers: Index and number of workers. A worker reads every
            num_workers-th shard, or every num_workers-th record if there are fewer
            shards than workers.

    Returns:
        A dataset of `(U,)` strings.

    A shard's checksum is compared just before its records are read, once a process.
    Where it differs, reading ends in an error of TensorFlow; `damage_named` and
    `iterate_blocks` make a DatasetError of it.
    """
    info = dataset.info
    fewest, most = _BLOCK_USERS
    behaviors = max(info.num_behaviors // max(info.num_users, 1), 1)
    block_users = min(max(_BLOCK_BEHAVIORS // behaviors, fewest), most)
    shards = dict(zip(dataset.shard_paths(), info.shards, strict=True))
    by_record = len(shards) < num_workers
    own = slice(None) if by_record else slice(worker, None, num_workers)

    def check(path: bytes) -> bytes:
        dataset.require_intact([shards[path.decode()]])
        return path

    def read(path: tf.Tensor) -> tf.data.Dataset:
        path = tf.ensure_shape(tf.numpy_function(check, [path], tf.string), [])
        return tf.data.TFRecordDataset(path)

    def share(records: tf.data.Dataset) -> tf.data.Dataset:
        return records.shard(num_workers, worker) if by_record else records

    paths = tf.constant(list(shards)[own])
    if seed is None:
        records = tf.data.Dataset.from_tensor_slices(paths).flat_map(read)
        return share(records).batch(block_users)

    shuffle = tf.random.experimental.stateless_shuffle
    records = tf.data.Dataset.from_tensor_slices(shuffle(paths, seed)).interleave(
        lambda path: share(read(path)).batch(_READ_TOGETHER),
        cycle_length=_SHARDS_TOGETHER,
        num_parallel_calls=2,
        deterministic=True,
    )
    num_bytes = sum(shard["num_bytes"] for shard in info.shards)
    users_in_memory = _SHUFFLED_BYTES * info.num_users // max(num_bytes, 1)
    # Shuffles all records in memory at once; most datasets fit completely.
    records = records.rebatch(max(users_in_memory, block_users))
    records = records.map(lambda serialized: shuffle(serialized, seed))
    return records.rebatch(block_users)
