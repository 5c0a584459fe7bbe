"""Reads the shards of a dataset as blocks of many users' records."""

import tensorflow as tf

from sar_tf.data.dataset import SequenceDataset

_READ_TOGETHER = 64  # Records read from one shard before the next shard.
_SHARDS_TOGETHER = 4
_SHUFFLED_BYTES = 64 << 20  # Size of the records that are shuffled in memory.
_BLOCK_BEHAVIORS = 1 << 16  # Approximate size of a block, in behaviors.
_BLOCK_USERS = (256, 8192)  # Fewest (to mix users) and most users of a block.


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

    Raises:
        DatasetError: A shard is damaged. Each is checked when it is first asked for.
    """
    info = dataset.info
    fewest, most = _BLOCK_USERS
    behaviors = max(info.num_behaviors // max(info.num_users, 1), 1)
    block_users = min(max(_BLOCK_BEHAVIORS // behaviors, fewest), most)
    paths = dataset.shard_paths()
    by_record = len(paths) < num_workers
    own = slice(None) if by_record else slice(worker, None, num_workers)
    dataset.require_intact(info.shards[own])

    def read(paths: tf.Tensor) -> tf.data.Dataset:
        records = tf.data.TFRecordDataset(paths)
        return records.shard(num_workers, worker) if by_record else records

    paths = tf.constant(paths[own])
    if seed is None:
        return read(paths).batch(block_users)

    shuffle = tf.random.experimental.stateless_shuffle
    records = tf.data.Dataset.from_tensor_slices(shuffle(paths, seed)).interleave(
        lambda path: read(path).batch(_READ_TOGETHER),
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
