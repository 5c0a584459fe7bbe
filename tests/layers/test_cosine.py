import numpy as np
from support.layer_weights import numpy

from sar_tf.layers.cosine import cosine


def test_by_hand_and_0_where_a_vector_is_0():
    one = np.array([[[1.0, 0.0]], [[0.0, 0.0]]], "float32")
    other = np.array([[[3.0, 4.0], [-2.0, 0.0]], [[1.0, 1.0], [0.0, 0.0]]], "float32")
    np.testing.assert_allclose(
        numpy(cosine(one, other)), [[0.6, -1.0], [0.0, 0.0]], rtol=1e-6
    )
