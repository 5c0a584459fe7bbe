"""The records of a dataset, to compare two of them."""

import tensorflow as tf

from sar_tf.data.dataset_info import DatasetInfo
from sar_tf.data.schema import parse_records


def records_by_user(dataset_dir):
    """{dense user: serialized record}, of a dataset whose shards are whole."""
    info = DatasetInfo.load(dataset_dir)
    info.verify_shards(dataset_dir)
    paths = [str(dataset_dir / shard["file"]) for shard in info.shards]
    serialized = list(tf.data.TFRecordDataset(paths).as_numpy_iterator())
    users = parse_records(tf.constant(serialized))["user"].numpy().tolist()
    assert len(set(users)) == len(users) == info.num_users
    return dict(zip(users, serialized, strict=True))
