"""The retrieval head of ranking models."""

import numpy as np
import pytest
from support.batches import SPEC, batch, feature_tables, random_histories
from support.layer_weights import numpy, randomize

import sar_tf
from sar_tf import models
from sar_tf.models.retrieval import RETRIEVAL_LOSS

SMALL = {
    "din": {"embedding_dim": 4, "hidden_dim": 6},
    "unisar": {"embedding_dim": 4, "hidden_dim": 6, "dropout": 0.0},
    "sesrec": {"item_dims": (4, 2), "num_heads": 2, "dropout": 0.0},
}
CASES = [(name, task) for name in SMALL for task in models.get(name).tasks]


def make(name, **options):
    counts = 1 + np.arange(SPEC.num_items + 1) % 5
    tables = feature_tables(SPEC)
    tables["popularity"] = {"rec": counts, "search": counts[::-1]}
    return models.get(name)(SPEC, tables, **SMALL[name], **options)


@pytest.fixture(scope="module")
def heads():
    options = {"retrieval_weight": 0.5, "retrieval_dim": 3}
    return {name: randomize(make(name, **options), scale=0.3) for name in SMALL}


@pytest.fixture(scope="module")
def inputs():
    sizes = [(4, 3), (2, 1), (0, 3), (1, 2), (4, 0), (0, 0)]
    return batch(SPEC, random_histories(SPEC, sizes))


def test_weight_0_is_the_papers_model():
    for name in SMALL:
        model = make(name)
        assert model.retrieval_head is None
        assert RETRIEVAL_LOSS not in model.loss_weights
        assert not any("retrieval" in v.path for v in model.variables)


@pytest.mark.parametrize("name, task", CASES)
def test_the_loss_is_that_of_the_vectors(heads, inputs, name, task):
    model = heads[name]
    own = inputs[task]
    vectors = model.target_vectors(task, inputs)
    positives = model.item_vectors(own["candidates"][:, 0])
    assert vectors.shape == positives.shape == (6, 3)
    assert np.ptp(numpy(vectors), axis=0).min() > 0.01
    values, weights = model.retrieval_head.loss(
        task, vectors, positives, own["candidates"][:, 0], own["is_target"]
    )
    expected = numpy(values)[numpy(weights) > 0].mean()
    found = numpy(model.losses_of(task, inputs)[RETRIEVAL_LOSS])
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert model._weight(task, RETRIEVAL_LOSS) == 0.5 * model.task_weights[task]


def test_the_loss_does_not_depend_on_groups(heads):
    histories = random_histories(SPEC, [(1, 0), (2, 1), (4, 3)])
    one, three = (
        batch(SPEC, histories, groups)
        for groups in (None, [(1, 1, 1), (1, 2, 1), (1, 4, 3)])
    )
    losses = [
        numpy(heads["unisar"].losses_of("search", x)[RETRIEVAL_LOSS])
        for x in (one, three)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_scores_do_not_depend_on_the_head(heads, inputs):
    """The head reads the encoders' vectors, and adds nothing to the score."""
    plain, model = make("unisar"), heads["unisar"]
    of_head = {id(variable) for variable in model.retrieval_head.weights}
    plain.set_weights([v for v in model.weights if id(v) not in of_head])
    scores = [numpy(m.score("rec", inputs)) for m in (plain, model)]
    np.testing.assert_array_equal(*scores)


def test_popularity_is_saved(heads, tmp_path):
    heads["sesrec"].save(tmp_path / "model.keras")
    loaded = sar_tf.load_model(tmp_path / "model.keras")
    expected = numpy(heads["sesrec"].retrieval_head.log_shares["rec"])
    assert np.ptp(expected) > 1
    found = numpy(loaded.retrieval_head.log_shares["rec"])
    np.testing.assert_array_equal(found, expected)


def test_refused():
    with pytest.raises(ValueError, match="SASRec retrieves by its own vectors"):
        models.get("sasrec")(SPEC, feature_tables(SPEC), retrieval_weight=0.1)
    with pytest.raises(ValueError, match="needs the popularity of items"):
        models.get("din")(SPEC, feature_tables(SPEC), retrieval_weight=0.1)
