import pytest
from support.builders import random_records, write_dataset
from support.rows import LIMITS, to_numpy

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.inputs import INPUTS
from sar_tf.needs import ALL_NEEDS


@pytest.fixture(scope="session")
def records():
    """Records, the highest item and the queries' words of the dataset below."""
    return random_records(num_users=60, max_behaviors=20)


@pytest.fixture(scope="session")
def pipeline(records, tmp_path_factory):
    """Batches of a random dataset of three shards.

    Without what is looked up in the clicks of training, which has tests of its own.
    """
    dataset_dir = tmp_path_factory.mktemp("dataset")
    write_dataset(dataset_dir, *records, num_shards=3)
    return BatchPipeline(
        SequenceDataset.open(dataset_dir),
        batch_size=16,
        evaluation_batch_size=16,
        num_sampled=5,
        needs=tuple(n for n in ALL_NEEDS if not INPUTS[n].of_training),
        **LIMITS,
    )


@pytest.fixture(scope="session")
def two_epochs(pipeline):
    """Its training batches, in NumPy."""
    return to_numpy(pipeline.train_from(0).take(2 * pipeline.steps_per_epoch()))


@pytest.fixture(scope="session")
def epoch(pipeline, two_epochs):
    """The batches of the first epoch."""
    return two_epochs[: pipeline.steps_per_epoch()]
