"""Which ids a model knows, at the borders of every kind."""

import numpy as np
import pytest
from support.batches import SPEC
from support.layer_weights import numpy

from sar_tf.models.ids import KIND_OF_ID, known_ids

_HIGHEST_POSITION = SPEC.max_rec_history + SPEC.max_search_history - 1


@pytest.mark.parametrize("name", KIND_OF_ID)
def test_ids_outside_of_a_table_are_0(name):
    kind = KIND_OF_ID[name]
    highest = _HIGHEST_POSITION if kind == "positions" else getattr(SPEC, kind)
    ids = np.array([-(2**31), -1, 0, highest, highest + 1, 2**31 - 1], "int32")
    known = numpy(known_ids(SPEC, name, ids))
    assert known.tolist() == [0, 0, 0, highest, 0, 0]


def test_arrays_of_no_ids_are_unchanged():
    lengths = np.array([-1, 10**6], "int32")
    assert known_ids(SPEC, "history_row", lengths) is lengths
