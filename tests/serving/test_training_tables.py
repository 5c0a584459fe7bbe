"""Exported models of instruments and of the graph need no clicks in a request."""

import numpy as np
import pytest
import tensorflow as tf
from support.layer_weights import numpy, randomize
from support.raw_events import request_of, targets_of

from sar_tf.inputs import INPUTS
from sar_tf.models import IV4Rec, SRJGraph
from sar_tf.serving.export import dense_signature, export, raw_signature

SMALL = {"embedding_dim": 4, "hidden_dim": 6, "prediction_units": (8,)}
MODELS = {
    "iv4rec": lambda *data: IV4Rec(*data, weight_units=(5,), dropout=0.0, **SMALL),
    "srjgraph": lambda *data: SRJGraph(*data, **SMALL),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_served_model_reads_its_own_tables(
    name, kuaisar_pipeline, kuaisar_raw, tmp_path
):
    data = kuaisar_pipeline
    model = randomize(MODELS[name](data.spec, data.tables))
    export(model, tmp_path / "1", data)
    signatures = tf.saved_model.load(tmp_path / "1").signatures
    batch = next(iter(data.test()))
    for task in model.tasks:
        served = {
            part: {n: x for n, x in batch[part].items() if not INPUTS[n].of_training}
            for part in ("history", task)
        }
        real = served[task]["is_target"]
        expected = numpy(model.score(task, served))[real]
        asked = dense_signature(task, model)
        assert not any(INPUTS[entry].of_training for entry in asked)
        flat = {**served[task]}
        for entry, x in served["history"].items():
            if INPUTS[entry].part == "history":
                flat[entry] = tf.gather(x, served[task]["history_row"])
        dense = signatures[f"rank_{task}_dense"](**{n: flat[n] for n in asked})
        scores = dense["scores"].numpy()[real]
        np.testing.assert_allclose(scores, expected, atol=1e-5)
        targets = targets_of(data.dataset, kuaisar_raw, task, "test")[: len(expected)]
        names = raw_signature(task, model)
        raw = signatures[f"rank_{task}"](**request_of(targets, list(names), seed=2))
        np.testing.assert_allclose(raw["scores"], expected, atol=1e-5)
        # All clicks of training are earlier than these targets: each sees all.
        given = numpy(model.score(task, batch))[real]
        np.testing.assert_allclose(given, expected, atol=1e-6)
        assert np.ptp(expected, axis=1).max() > 1e-2
