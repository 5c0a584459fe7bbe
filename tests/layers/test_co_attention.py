import numpy as np
import pytest
from support.layer_weights import numpy, randomize, round_trip

from sar_tf.layers.co_attention import CoAttention, masked_softmax

B, NR, NS, D = 4, 3, 4, 5
REC_MASK = np.arange(NR) < np.array([3, 2, 0, 1])[:, None]
SEARCH_MASK = np.arange(NS) < np.array([4, 1, 2, 0])[:, None]


def case(variant):
    rng = np.random.default_rng(0)
    rec = rng.normal(size=(B, NR, D)).astype("float32")
    search = rng.normal(size=(B, NS, D)).astype("float32")
    layer = CoAttention(variant)
    layer(rec, search, REC_MASK, SEARCH_MASK)
    return randomize(layer), (rec, search, REC_MASK, SEARCH_MASK)


def softmax(logits):
    exp = np.exp(logits - logits.max(initial=-np.inf))
    return exp / exp.sum()


def expected_weights(layer, row, variant):
    """Eq. 9 and 10 for one row, slot by slot."""
    rec, search, rec_mask, search_mask = row
    kernel = numpy(layer.affinity_kernel)
    affinity = np.tanh(rec @ kernel @ search.T)
    counted = {"rec": rec_mask, "search": search_mask}
    if variant == "reference":
        counted = {name: np.full_like(m, m.any()) for name, m in counted.items()}
    rec_logits, search_logits = np.zeros(NR), np.zeros(NS)
    for i in range(NR):
        for j in range(NS):
            if counted["rec"][i]:
                score = rec[i] @ numpy(layer.rec_kernel)
                search_logits[j] += score * affinity[i, j]
            if counted["search"][j]:
                score = search[j] @ numpy(layer.search_kernel)
                rec_logits[i] += score * affinity[i, j]
    weights = np.zeros(NR), np.zeros(NS)
    weights[0][rec_mask] = softmax(rec_logits[rec_mask])
    weights[1][search_mask] = softmax(search_logits[search_mask])
    return weights


@pytest.mark.parametrize("variant", ["reference", "paper"])
def test_weights_equal_the_equations(variant):
    layer, inputs = case(variant)
    computed = [numpy(weights) for weights in layer(*inputs)]
    for row in range(B):
        expected = expected_weights(layer, [x[row] for x in inputs], variant)
        for ours, theirs in zip(computed, expected, strict=True):
            np.testing.assert_allclose(ours[row], theirs, atol=1e-6)


@pytest.mark.parametrize("variant", ["reference", "paper"])
def test_without_the_other_history_all_weights_are_equal(variant):
    layer, inputs = case(variant)
    rec, search = (numpy(weights) for weights in layer(*inputs))
    np.testing.assert_array_equal(rec[2], 0)
    np.testing.assert_array_equal(search[2], [0.5, 0.5, 0, 0])
    np.testing.assert_array_equal(rec[3], [1, 0, 0])
    np.testing.assert_array_equal(search[3], 0)


def test_empty_slots_count_in_the_reference_only():
    changed = np.random.default_rng(1).normal(size=(B, NS, D)).astype("float32")
    for variant, counts in (("reference", True), ("paper", False)):
        layer, (rec, search, *masks) = case(variant)
        other = np.where(SEARCH_MASK[..., None], search, changed)
        before, after = (numpy(layer(rec, x, *masks)[0])[1] for x in (search, other))
        assert np.allclose(before, after, atol=1e-6) != counts


def test_masked_softmax_of_huge_logits():
    mask = np.array([[True, True, False], [False, False, False]])
    logits = np.array([[1e4, 1e4, 1e5], [1e4, 0, -1e4]], "float32")
    np.testing.assert_allclose(
        numpy(masked_softmax(logits, mask)), [[0.5, 0.5, 0], [0, 0, 0]]
    )


def test_config_round_trips():
    layer, inputs = case("paper")
    copy = round_trip(layer, *inputs)
    for ours, theirs in zip(layer(*inputs), copy(*inputs), strict=True):
        np.testing.assert_array_equal(numpy(ours), numpy(theirs))


def test_unknown_variant():
    with pytest.raises(ValueError, match="'reference' or 'paper'"):
        CoAttention("official")
