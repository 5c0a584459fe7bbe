"""From raw events of real users to scores, through an exported folder."""

import gzip
import json

import numpy as np
import pytest
import tensorflow as tf
from support.layer_weights import randomize
from support.raw_events import record_events, request_of, targets_of

import sar_tf
from sar_tf.models import UniSAR

_TARGETS = 200
_USERS = 600  # Of the log; their reviews leave items enough with five reviews.


@pytest.fixture(scope="module")
def reviews(shared_dir):
    """The first users' reviews of the log, each as the log has it."""
    path = shared_dir / "data" / "amazon_beauty" / "reviews_Beauty_5.json.gz"
    with gzip.open(path, "rt") as file:
        rows = [json.loads(line) for line in file]
    chosen = set(sorted({row["reviewerID"] for row in rows})[:_USERS])
    return [row for row in rows if row["reviewerID"] in chosen]


@pytest.fixture(scope="module")
def data(reviews, shared_dir, tmp_path_factory):
    """The dataset that the job makes of these reviews."""
    from pipelines import amazon

    folder = tmp_path_factory.mktemp("beauty")
    lines = "".join(json.dumps(row) + "\n" for row in reviews)
    (folder / "reviews.json").write_text(lines)
    amazon.build_dataset(
        folder / "dataset",
        reviews=folder / "reviews.json",
        metadata=shared_dir / "data" / "amazon_beauty" / "meta_Beauty.json.gz",
    )
    return sar_tf.open_dataset(folder / "dataset", num_groups=1)


@pytest.fixture(scope="module")
def model(data):
    sizes = {"embedding_dim": 6, "hidden_dim": 8, "expert_units": 5}
    units = {"tower_units": (7,), "prediction_units": (6,)}
    return randomize(UniSAR(data.spec, data.tables, **sizes, **units), scale=0.7)


@pytest.fixture(scope="module")
def signatures(model, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "1"
    sar_tf.export(model, folder, data)
    return tf.saved_model.load(folder).signatures


@pytest.fixture(scope="module")
def events(data):
    return record_events(data.dataset)


@pytest.fixture(scope="module")
def scores(model, data):
    """{task: (targets, C)} of the model itself."""
    return model.predict(data.validation(), verbose=0)


def test_clicks_are_those_of_the_log(reviews, events):
    """So that the requests below have what another program knows."""
    logged = {}
    for row in reviews:
        click = (row["unixReviewTime"], row["asin"])
        logged.setdefault(row["reviewerID"], set()).add(click)
    for user, own in events.items():
        clicks = {(event.time, event.item) for event in own if event.type == "rec"}
        assert clicks and clicks <= logged[user]
    number = sum(event.type == "rec" for own in events.values() for event in own)
    assert number > 0.5 * len(reviews)


@pytest.mark.parametrize("task", ["rec", "search"])
def test_scores_are_the_models(data, events, signatures, scores, task):
    targets = targets_of(data.dataset, events, task, "validation")[:_TARGETS]
    assert len(targets) == _TARGETS
    # A person writes a query in another way than the vocabulary.
    targets = [target._replace(query=target.query.title()) for target in targets]
    signature = signatures[f"rank_{task}"]
    request = request_of(targets, signature.structured_input_signature[1], seed=1)
    found = signature(**request)["scores"].numpy()
    expected = scores[task][:_TARGETS]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.median(expected.std(axis=1)) > 1e-3
