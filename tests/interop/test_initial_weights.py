"""New weights spread as those of the official code, of which the fixtures are made."""

import keras
import numpy as np
import pytest
from support.layer_weights import numpy

from sar_tf.interop.fixtures import Fixture, build_model

_FEWEST = 64  # Values that a spread is estimated from.
_SIGMAS = 5


@pytest.mark.parametrize("name", ["unisar_features", "sesrec_features"])
def test_spread_of_each_weight(golden_dir, name):
    official, _ = build_model(Fixture.load(golden_dir / f"{name}.npz"))
    keras.utils.set_random_seed(1)
    new = type(official).from_config(official.get_config())
    compared = 0
    for own, given in zip(
        new.trainable_variables, official.trainable_variables, strict=True
    ):
        own, given, path = numpy(own), numpy(given), given.path
        if len(own.shape) < 2 or own.size < _FEWEST:
            continue
        # The logarithm of a spread of n normal values has a variance of 1 / 2n.
        tolerance = _SIGMAS * own.size**-0.5
        assert abs(np.log(own.std() / given.std())) < tolerance, path
        compared += 1
    assert compared > 20
