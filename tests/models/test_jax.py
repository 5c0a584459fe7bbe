"""Models on JAX, in a process of its own."""

import os
import subprocess
import sys

import pytest

# Trains, evaluates and saves on JAX; the loss must fall.
RUN = """
import keras
import numpy as np
from support.batches import SPEC, batch, feature_tables, random_histories
from support.tiny_model import tiny
from support.unisar_case import OPTIONS, SIZES
from sar_tf.models import DIEN, BERT4Rec, CoPPS, FMLPRec, SESRec, UniSAR

assert keras.backend.backend() == "jax"
inputs = batch(SPEC, random_histories(SPEC, SIZES))
sizes = {"item_dims": (4, 2), "user_dims": (3,), "prediction_units": (5,)}
tables = feature_tables(SPEC)
small = {"hidden_dim": 8, "inner_units": 8}
models = {
    "unisar": lambda: UniSAR(SPEC, tables, **OPTIONS),
    "sesrec": lambda: SESRec(SPEC, tables, **sizes),
    "bert4rec": lambda: BERT4Rec(SPEC, tables, num_blocks=1, **small),
    "dien": lambda: DIEN(SPEC, tables, prediction_units=(8,), hidden_dim=8),
    "fmlp_rec": lambda: FMLPRec(SPEC, tables, num_blocks=1, dropout=0.0, **small),
    "copps": lambda: CoPPS(SPEC, tables, **small),
    "tiny": tiny,
}
model = models[NAME]()
own = {part: inputs[part] for part in ("history", *model.tasks)}
model.compile(keras.optimizers.Adam(0.02))
history = model.fit(((own,) for _ in range(24)), steps_per_epoch=8, epochs=3, verbose=0)
losses = history.history["loss"]
assert losses[-1] < losses[0], losses
logs = model.evaluate(own, verbose=0, return_dict=True)
task = model.tasks[0]
assert logs.keys() > {"click_loss", f"{task}_NDCG@5", f"{task}_click_loss"}, logs
scores = model.predict(own, verbose=0)
model.save(FILE)
copy = keras.models.load_model(FILE)
assert copy.compiled
for task, values in copy.predict(own, verbose=0).items():
    np.testing.assert_allclose(values, scores[task], rtol=1e-5)
"""


@pytest.mark.parametrize(
    "name", ["bert4rec", "copps", "dien", "fmlp_rec", "sesrec", "tiny", "unisar"]
)
def test_trains_evaluates_and_is_saved(name, repository, tmp_path):
    pytest.importorskip("jax", reason="the extra [jax] is not installed")
    code = f"NAME, FILE = {name!r}, {str(tmp_path / 'm.keras')!r}\n" + RUN
    paths = [str(repository), str(repository / "tests")]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "PYTHONPATH": os.pathsep.join(paths),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
