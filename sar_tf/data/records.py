"""Reads the shards of a dataset as blocks of many users' records."""

import tensorflow as tf

from sar_tf.data.dataset import SequenceDataset

_READ_TOGETHER = 64  # Records read from one shard before the next one's turn.
_SHARDS_TOGETHER = 4
_SHUFFLED_BYTES = 64 << 20  # Records held in memory to be shuffled.
_BLOCK_BEHAVIORS = 1 << 16  # Aimed at, for an average user.
_BLOCK_USERS = (256, 8192)  # At least this many for mixing; at most.


def read_blocks(
    dataset: SequenceDataset,
    seed: tf.Tensor | None,
    worker: int = 0,
    num_workers: int = 1,
) -> tf.data.Dataset:
    """Serialized records, a block of users an element.

    Args:
        dataset: Where the shards are.
        seed: [2] of a stateless shuffle of shards and records; None keeps the order.
        worker, num_workers: The share that is read: every num_workers-th shard, or
            where there are fewer shards than workers, every num_workers-th record.

    Returns:
        A dataset of [U] strings.
    """
    info = dataset.info
    fewest, most = _BLOCK_USERS
    behaviors = max(info.num_behaviors // max(info.num_users, 1), 1)
    block_users = min(max(_BLOCK_BEHAVIORS // behaviors, fewest), most)
    paths = dataset.shard_paths()
    by_record = len(paths) < num_workers

    def read(paths: tf.Tensor) -> tf.data.Dataset:
        records = tf.data.TFRecordDataset(paths)
        return records.shard(num_workers, worker) if by_record else records

    paths = tf.constant(paths if by_record else paths[worker::num_workers])
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
    # Blocks are drawn from all records in memory: most datasets fit in whole.
    records = records.rebatch(max(users_in_memory, block_users))
    records = records.map(lambda serialized: shuffle(serialized, seed))
    return records.rebatch(block_users)
