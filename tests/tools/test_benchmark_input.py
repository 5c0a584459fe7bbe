from tools.benchmark.input import measure
from tools.benchmark.random_dataset import write_random_dataset


def test_measures_a_random_dataset(tmp_path):
    info = write_random_dataset(
        tmp_path, num_users=30, max_behaviors=40, num_items=2000, num_queries=50
    )
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
