from tools.benchmark.fit import measure


def test_measures_a_random_dataset():
    result = measure(
        None, 30, "sesrec", steps=4, batch_size=20, num_groups=1, num_sampled=16
    )
    assert result["seconds_per_step"] > 0
    assert result["seconds_per_step_from_memory"] > 0
    assert result["input_overhead"] > -1
    assert (result["steps"], result["batch_size"]) == (4, 20)
