import json

import numpy as np
import pytest
from support.raw_events import kuaisar_events, record_events

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.pipeline import BatchPipeline

LEVELS = ("Hair Care", "Oil & Skin", "Men's Shampoo", "Colour", "Gifts", "Élan 2-in-1")


@pytest.fixture(scope="session")
def kuaisar_pipeline(simulated_dataset):
    """Batches of the simulated logs; their windows cut most histories."""
    return _pipeline(simulated_dataset)


@pytest.fixture(scope="session")
def kuaisar_raw(tmp_path_factory):
    """{user: raw events} of the logs that the simulated dataset was made from."""
    from pipelines import simulate

    logs = tmp_path_factory.mktemp("simulated") / "logs"
    simulate.write_logs(logs, num_users=120, num_items=400, seed=3)
    return kuaisar_events(logs)


@pytest.fixture(scope="session")
def amazon_pipeline(tmp_path_factory):
    """Batches of random reviews, many of them of one time."""
    from pipelines import amazon

    folder = tmp_path_factory.mktemp("amazon")
    rng = np.random.default_rng(5)
    items = [f"B{item:05d}" for item in range(150)]
    reviews, metadata = folder / "reviews.json", folder / "meta.json"
    with open(reviews, "w") as file:
        for user in range(60):
            size = rng.integers(3, 15)
            times = 86_400 * (15_000 + np.sort(rng.integers(0, 12, size)))
            for item, time in zip(rng.permutation(items), times, strict=False):
                row = {"reviewerID": f"A{user}", "asin": item}
                file.write(json.dumps(row | {"unixReviewTime": int(time)}) + "\n")
    with open(metadata, "w") as file:
        for item in items:
            found = ["Beauty", *rng.permutation(LEVELS)[: rng.integers(0, 3)]]
            file.write(json.dumps({"asin": item, "categories": [found]}) + "\n")
    amazon.build_dataset(folder / "dataset", reviews=reviews, metadata=metadata)
    return _pipeline(folder / "dataset")


@pytest.fixture(scope="session")
def amazon_raw(amazon_pipeline):
    """{user: raw events} of its records."""
    return record_events(amazon_pipeline.dataset)


def _pipeline(dataset_dir):
    return BatchPipeline(
        SequenceDataset.open(dataset_dir),
        batch_size=64,
        max_rec_history=5,
        max_search_history=4,
        num_groups=1,
    )
