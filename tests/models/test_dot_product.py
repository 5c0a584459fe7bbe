"""Every model whose score is a dot product tells the two vectors."""

import numpy as np
import pytest
from keras import ops
from support.batches import SPEC, batch, feature_tables, random_histories
from support.layer_weights import numpy, randomize

from sar_tf import models

NAMES = [
    name
    for name in models.names()
    if issubclass(models.get(name), models.DotProductModel)
]


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_products_of_the_vectors(name):
    model = randomize(models.get(name)(SPEC, feature_tables(SPEC)), scale=0.2)
    inputs = batch(SPEC, random_histories(SPEC, [(4, 3), (2, 1), (0, 0)]))
    items = np.arange(SPEC.num_items + 1, dtype="int32")
    item_vectors = numpy(model.item_vectors(items))
    for task in model.tasks:
        own = {**inputs[task], "candidates": np.tile(items, (3, 1))}
        expected = numpy(model.score(task, {**inputs, task: own}))
        history = {n: x for n, x in inputs["history"].items() if "group" not in n}
        del own["candidates"]
        vectors = model.target_vectors(task, {"history": history, task: own})
        scores = ops.sigmoid(numpy(vectors) @ item_vectors.T)
        np.testing.assert_allclose(numpy(scores), expected, atol=1e-5)
        assert np.ptp(expected) > 0.01
