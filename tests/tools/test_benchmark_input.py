import tensorflow as tf
from support.records import records_by_user

from tools.benchmark import random_dataset
from tools.benchmark.input import measure
from tools.benchmark.random_dataset import write_random_dataset


def test_measures_a_random_dataset(tmp_path, monkeypatch):
    monkeypatch.setattr(random_dataset, "_USERS_PER_SHARD", 8)
    monkeypatch.setattr(random_dataset, "_DISTINCT_SHARDS", 2)
    info = write_random_dataset(
        tmp_path, num_users=30, max_behaviors=40, num_items=2000, num_queries=50
    )
    assert [shard["num_records"] for shard in info.shards] == [8, 8, 8, 6]
    records = records_by_user(tmp_path)  # Checks that they are 30 users.
    first, again = (tf.train.Example.FromString(records[user]) for user in (1, 17))
    assert again.features.feature["user"].int64_list.value[:] == [17]
    again.features.feature["user"].int64_list.value[0] = 1
    assert again == first
    assert info.targets["rec"]["train"] > info.targets["rec"]["test"] > 0
    result = measure(str(tmp_path), seconds=0.2)
    assert result["targets_per_second"] > 0
    assert result["targets_per_processor_second"] > 0
    assert result["slowest_interval"] <= result["fastest_interval"]
    assert result["peak_memory_mib"] > 0
    assert (result["users"], result["history_slots"]) == (30, 60)


def test_measures_what_one_task_needs(tmp_path):
    write_random_dataset(
        tmp_path, num_users=30, max_behaviors=40, num_items=2000, num_queries=50
    )
    result = measure(str(tmp_path), seconds=0.1, tasks=("rec",), needs=("user",))
    assert result["targets_per_second"] > 0
