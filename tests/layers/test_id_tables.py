import numpy as np
import pytest
from support.layer_weights import numpy, round_trip

from sar_tf.layers.id_tables import IdTables
from sar_tf.layers.perceptron import Perceptron
from sar_tf.layers.slices import in_slices

TABLES = {"pairs": np.array([[0, 0], [5, 4], [7, 0]]), "ones": np.array([0, 3])}


def test_looks_up_what_it_is_given():
    tables = IdTables({"pairs": (3, 2), "ones": (2,)})
    assert not tables.has_tables and not numpy(tables.look_up("pairs", [1])).any()
    tables.set_tables({**TABLES, "others": np.zeros(9)})
    assert tables.has_tables and not tables.trainable_variables
    found = numpy(tables.look_up("pairs", np.array([[2, 1]])))
    assert found.tolist() == [[[7, 0], [5, 4]]]
    assert numpy(tables.look_up("ones", np.array([1, 0]))).tolist() == [3, 0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ones": TABLES["ones"]}, "there is no table 'pairs'"),
        ({**TABLES, "pairs": np.zeros((3, 1))}, r"has shape \(3, 1\), not \(3, 2\)"),
    ],
)
def test_refuses_other_tables(given, message):
    tables = IdTables({"pairs": (3, 2), "ones": (2,)})
    with pytest.raises(ValueError, match=message):
        tables.set_tables(given)
    assert not tables.has_tables


def test_a_perceptron_has_activations_and_dropout_between_layers():
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    layer = Perceptron((4, 2), "tanh", last_activation="sigmoid", dropout=0.5)
    first, second = layer(x) is not None and layer.denses
    hidden = np.tanh(x @ numpy(first.kernel) + numpy(first.bias))
    logits = hidden @ numpy(second.kernel) + numpy(second.bias)
    np.testing.assert_allclose(numpy(layer(x)), 1 / (1 + np.exp(-logits)), atol=1e-6)
    assert not np.array_equal(numpy(layer(x, training=True)), numpy(layer(x)))
    copy = round_trip(layer, x)
    np.testing.assert_array_equal(numpy(copy(x)), numpy(layer(x)))


@pytest.mark.parametrize("size", [1, 3, 7, 20])
def test_slices_give_what_all_at_once_do(size):
    x = np.random.default_rng(0).normal(size=(2, 7, 3)).astype("float32")
    result = in_slices(lambda part: part[..., :2] * 2.0, x, size)
    np.testing.assert_array_equal(numpy(result), x[..., :2] * 2)
