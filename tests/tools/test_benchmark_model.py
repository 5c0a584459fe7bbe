import dataclasses

import keras
import pytest

from tools.benchmark.model import measure_evaluation, measure_training
from tools.benchmark.random_batches import BEAUTY, RandomBatches

SMALL = dataclasses.replace(
    BEAUTY, num_users=20, num_items=50, max_rec_history=4, max_search_history=4
)
BATCHES = RandomBatches(("rec",), num_groups=1, spec=SMALL)


def assert_times(result):
    assert 0 < result["fastest_step"] <= result["seconds_per_step"]
    assert result["seconds_per_step"] <= result["slowest_step"]
    assert result["processor_seconds_per_step"] > 0
    assert result["steps"] >= 5
    rate = result["targets_per_step"] / result["seconds_per_step"]
    assert result["targets_per_second"] == pytest.approx(rate, rel=0.05)
    assert result["peak_memory_mib"] > 50
    assert result["items"] == 50
    assert result["backend"] == keras.backend.backend()


def test_measures_training():
    result = measure_training(
        "sesrec", BATCHES, sizes=(6, 6), seconds=0.01, embedding_optimizer="adam"
    )
    assert_times(result)
    assert (result["targets_per_step"], result["embedding_optimizer"]) == (6, "adam")


def test_measures_evaluation():
    assert_times(measure_evaluation("sesrec", BATCHES, sizes=(5, 5), seconds=0.01))
