import math

import numpy as np
from support.layer_weights import numpy

from sar_tf.layers.next_item import next_item_losses, next_items_losses


def test_a_state_tells_the_next_item_from_a_drawn_one():
    """Products of 2 and -1, and of 0 and 0."""
    states = np.array([[[1.0, 0.0], [0.0, 0.0]]], "float32")
    following = np.array([[[2.0, 5.0], [1.0, 1.0]]], "float32")
    drawn = np.array([[[-1.0, 7.0], [3.0, 3.0]]], "float32")
    result = numpy(next_item_losses(states, following, drawn))
    first = math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1))
    np.testing.assert_allclose(result, [[first, 2 * math.log(2)]], rtol=1e-6)


def test_large_products_are_finite():
    one = np.full((1, 1, 1), 1e3, "float32")
    result = numpy(next_item_losses(one, -one, one))
    np.testing.assert_allclose(result, [[2e6]])


def test_several_items_follow_and_all_states_share_the_drawn_ones():
    """Products of 2 and 4, the mean of whose costs counts, and of -1 and 3."""
    states = np.array([[[1.0, 0.0], [1.0, 0.0]]], "float32")
    following = np.zeros((1, 2, 2, 2), "float32")
    following[0, 0, :, 0] = 2, 4
    following[0, 1, 0, 0] = 2
    is_item = np.array([[[True, True], [True, False]]])
    drawn = np.array([[[-1.0, 9.0], [3.0, 9.0]]], "float32")
    result = numpy(next_items_losses(states, following, is_item, drawn))
    two, four, shared = (np.log1p(np.exp(-x)) for x in (2, 4, 1))
    shared += np.log1p(np.exp(3))
    np.testing.assert_allclose(
        result, [[(two + four) / 2 + shared, two + shared]], 1e-6
    )
