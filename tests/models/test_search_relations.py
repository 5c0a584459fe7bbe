"""What models of search have in common: each is another one in a special case."""

import keras
import numpy as np
import pytest
from support.batches import SPEC, feature_tables
from support.layer_weights import numpy
from support.search_case import INPUTS, changed, logits_of, small_model

from sar_tf.models import AEM, HEM, QEM, TEM, ZAM, CoPPS

EMPTY = changed(INPUTS, "history", clicked_items=np.zeros((6, 3, 2), "int32"))
TRANSFORMER = {
    "embedding_dim": 4,
    "hidden_dim": 6,
    "inner_units": 8,
    "num_heads": 2,
    "dropout": 0.3,
}


def with_weights_of(model, source):
    """The model, with the source's weights where it has one of the same place."""
    own = {v.path.split("/", 1)[1]: v for v in source.variables}
    for variable in model.trainable_variables:
        name = variable.path.split("/", 1)[1]
        if name in own:
            variable.assign(own[name])
    return model


def small(cls, **options):
    return with_weights_of(small_model(cls, **options), QUERIES_ALONE)


QUERIES_ALONE = small_model(QEM)


def test_hem_with_lambda_1_is_qem():
    expected = logits_of(QUERIES_ALONE)
    np.testing.assert_array_equal(logits_of(small(HEM, query_weight=1.0)), expected)
    assert not np.allclose(logits_of(small(HEM, query_weight=0.9)), expected, atol=1e-3)


def test_hem_without_a_user_ranks_as_qem():
    inputs = changed(INPUTS, "search", user=np.zeros(6, "int32"))
    result = logits_of(small(HEM), inputs)
    np.testing.assert_allclose(2 * result, logits_of(QUERIES_ALONE), atol=1e-3)


@pytest.mark.parametrize("cls", [AEM, ZAM])
def test_without_a_history_aem_and_zam_are_qem(cls):
    model = small(cls)
    np.testing.assert_array_equal(logits_of(model, EMPTY), logits_of(QUERIES_ALONE))
    with_items = [
        row for row in range(6) if INPUTS["history"]["clicked_items"][row].any()
    ]
    difference = np.abs(logits_of(model) - logits_of(QUERIES_ALONE)).max(1)
    assert difference[with_items].min() > 1e-2


@pytest.mark.parametrize("cls", [AEM, ZAM])
def test_in_heads_too_without_a_history_they_rank_as_qem(cls):
    model = small(cls, attention="multihead", num_heads=2)
    expected = logits_of(QUERIES_ALONE)
    np.testing.assert_allclose(2 * logits_of(model, EMPTY), expected, atol=1e-3)


def test_the_user_of_zam_is_that_of_aem_behind_a_gate():
    aem = small(AEM)
    zam = with_weights_of(small_model(ZAM), aem)
    encoded = aem.encode_history(INPUTS["history"], training=False)
    query = aem.encode_queries(INPUTS["search"]["query_words"])
    asked = query, encoded["items"], encoded["mask"]
    expected, _ = (numpy(x) for x in aem.attention(*asked))
    result, weights = (numpy(x) for x in zam.attention(*asked))
    np.testing.assert_allclose(
        result, weights.sum(1, keepdims=True) * expected, atol=1e-5
    )
    assert 0.01 < weights.sum(1).max() < 0.999


def trained(cls, **options):
    """Scores before and after two steps, and the steps' losses."""
    keras.utils.set_random_seed(1)
    model = cls(SPEC, feature_tables(SPEC), **TRANSFORMER, **options)
    inputs = {part: INPUTS[part] for part in ("history", "search")}
    model.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    scores = [numpy(model.score("search", inputs))]
    steps = [model.train_on_batch(inputs, return_dict=True) for _ in range(2)]
    losses = np.array([float(step["loss"]) for step in steps])
    return [*scores, numpy(model.score("search", inputs)), losses]


def test_copps_without_its_contrast_is_tem_bit_for_bit():
    for one, other in zip(
        trained(CoPPS, contrast_weight=0.0), trained(TEM), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_the_contrast_changes_neither_scores_nor_the_click_loss():
    options = {**TRANSFORMER, "dropout": 0.0}
    copps, tem = small_model(CoPPS, **options), small_model(TEM, **options)
    np.testing.assert_array_equal(logits_of(copps), logits_of(tem))
    losses = copps.losses_of("search", INPUTS)
    expected = tem.losses_of("search", INPUTS)["click_loss"]
    assert float(losses["click_loss"]) == pytest.approx(float(expected), rel=1e-6)
    assert float(losses["within_loss"]) > 0
