from tools.benchmark.serve import CASES, measure


def test_measures_an_exported_model():
    result = measure(
        "sasrec", num_items=300, seconds=0.01, batch_sizes=(3,), catalogue_items=200
    )
    (latency,) = result["milliseconds_per_request"].values()
    assert latency.keys() == CASES.keys()
    for case in latency.values():
        assert 0 < case["p50"] <= case["p99"]
    assert result["requests_per_second"]["rec"]["3"] > 0
    assert (result["items"], result["catalogue_items"]) == (300, 200)
    (retrieval,) = result["milliseconds_per_retrieval"].values()
    assert 0 < retrieval["p50"] <= retrieval["p99"]
