import dataclasses

from tools.benchmark.random_batches import BEAUTY, RandomBatches
from tools.benchmark.serve import measure


def test_measures_an_exported_model():
    small = dataclasses.replace(
        BEAUTY, num_users=20, num_items=50, max_rec_history=4, max_search_history=4
    )
    batches = RandomBatches(("rec",), num_groups=1, spec=small)
    result = measure("sesrec", batches, seconds=0.01, batch_size=3)
    latency = result["milliseconds_per_request"]["rec"]
    assert 0 < latency["median"] <= latency["p95"]
    assert result["requests_per_second"]["rec"] > 0
    assert result["requests_per_call"] == 3
