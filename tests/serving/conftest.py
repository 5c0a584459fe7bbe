import pytest
from support.amazon_log import amazon_dataset
from support.raw_events import kuaisar_events, record_events

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.pipeline import BatchPipeline


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
    return _pipeline(amazon_dataset(tmp_path_factory.mktemp("amazon")))


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
